"""Compiles a podman profile with libseccomp: PROFILE, capabilities with commas between, OUTPUT.

An independent reading of the profile, for the native architecture and, on x86_64, i386.
"""

import json
import platform
import sys

import seccomp

profile, capabilities, output = sys.argv[1], set(sys.argv[2].split(",")), sys.argv[3]
profile = json.load(open(profile))
machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
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
if machine == "amd64":
    compiled.add_arch(seccomp.Arch.X86)
for block in profile["syscalls"]:
    includes, excludes = block.get("includes") or {}, block.get("excludes") or {}
    if "arches" in includes and machine not in includes["arches"]:
        continue
    if not capabilities.issuperset(includes.get("caps") or []):
        continue
    if capabilities.intersection(excludes.get("caps") or []):
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
