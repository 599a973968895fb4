"""Compiles a docker or podman profile with libseccomp, for Linux 6.1: PROFILE, architecture, capabilities with commas between, OUTPUT.

An independent reading of the profile, for x86_64 and i386, or for aarch64 and 32-bit Arm, whatever this machine is.
"""

import json
import sys

import seccomp

profile, wanted_arch, capabilities, output = sys.argv[1], sys.argv[2], set(sys.argv[3].split(",")), sys.argv[4]
profile = json.load(open(profile))
machine, arches = {
    "X86_64": ("amd64", [seccomp.Arch.X86_64, seccomp.Arch.X86]),
    "Aarch64": ("arm64", [seccomp.Arch.AARCH64, seccomp.Arch.ARM]),
}[wanted_arch]
compare = {
    "SCMP_CMP_NE": seccomp.NE, "SCMP_CMP_LT": seccomp.LT, "SCMP_CMP_LE": seccomp.LE, "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE, "SCMP_CMP_GT": seccomp.GT, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def action(name, errno):
    if name == "SCMP_ACT_ERRNO":
        return seccomp.ERRNO(errno)
    return {"SCMP_ACT_ALLOW": seccomp.ALLOW}[name]


default = action(profile["defaultAction"], profile.get("defaultErrnoRet", 1))
compiled = seccomp.SyscallFilter(default)
for arch in arches:
    if not compiled.exist_arch(arch):
        compiled.add_arch(arch)
native = int(seccomp.Arch())
if native not in arches:
    compiled.remove_arch(native)
for block in profile["syscalls"]:
    includes, excludes = block.get("includes") or {}, block.get("excludes") or {}
    if "arches" in includes and machine not in includes["arches"]:
        continue
    if not capabilities.issuperset(includes.get("caps") or []):
        continue
    if capabilities.intersection(excludes.get("caps") or []) or machine in (excludes.get("arches") or []):
        continue
    if [int(part) for part in includes.get("minKernel", "0.0").split(".")] > [6, 1]:
        continue
    wanted = action(block["action"], block.get("errnoRet", 1))
    if wanted == default:
        continue
    arguments = [
        seccomp.Arg(a["index"], compare[a["op"]], a["value"], a.get("valueTwo", 0)) for a in block.get("args") or []
    ]
    for name in block["names"]:
        try:
            compiled.add_rule(wanted, name, *arguments)
        except RuntimeError:
            # Not a call of this architecture.
            pass
compiled.export_bpf(open(output, "wb"))
