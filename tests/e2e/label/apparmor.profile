# Everything but one file. apparmor.policy is this, compiled by AppArmor 3.0.8, which needs no kernel with AppArmor:
#   apparmor_parser --skip-kernel-load --skip-cache --policy-features FEATURES --kernel-features FEATURES --stdout apparmor.profile
# where FEATURES is /usr/share/apparmor-features/features of the package.
profile pipkin-test flags=(attach_disconnected) {
  file,
  capability,
  network,
  signal,
  ptrace,
  mount,
  umount,
  pivot_root,
  unix,
  deny /etc/hostname r,
}
