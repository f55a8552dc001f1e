"""What a device is asked: one script for any POSIX shell, and one program for any Python 3.

Both are given as an argument. They hold no single quotes, which would grow on their way through
a remote shell, and they do without whatever is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.targets.delegates import DelegateLibrary

MARK = "@edgekit "
FOLDERS = ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib")  # of libraries


def make_script(delegates: Mapping[str, DelegateLibrary]) -> str:
    """Returns the script, which asks for the accelerators of these targets too."""
    ids = [name for delegate in delegates.values() for name in delegate.usb_ids]
    lines = []
    for target, delegate in delegates.items():
        files = " ".join(f"{folder}/{delegate.linux}" for folder in FOLDERS)
        lines += [f"key={target}_library; there {files}"]
        if delegate.device_files:
            lines += [f"key={target}_device; there {delegate.device_files}"]
    return _SCRIPT.replace("@usb@", " | ".join(ids) or "-").replace(
        "@accelerators@", "\n".join(lines)
    )


# `$1` is "home" where the login folder is to be searched for virtual environments.
_SCRIPT = r"""
LC_ALL=C; export LC_ALL
HERE=$PATH; PATH=$PATH:/usr/sbin:/sbin:/opt/vc/bin
say() { [ -z "$2" ] || echo "@edgekit $1=$2"; }
one() { line=; [ -r "$1" ] && read -r line <"$1"; } 2>/dev/null
all() { while read -r line; do say "$1" "$line"; done; }
there() { for file; do [ -e "$file" ] && say "$key" "$file"; done; }
{
say machine "$(uname -m)"
one /proc/sys/kernel/random/boot_id; say boot "$line"
say kernel "$(uname -s) $(uname -r)"
for file in /etc/os-release /usr/lib/os-release; do
  [ -r $file ] && all release <$file && break
done
key=raspbian; there /etc/rpi-issue
say android "$(getprop ro.build.version.release)"
say maker "$(getprop ro.product.manufacturer)"
say model "$(getprop ro.product.model)"
for file in /proc/device-tree/model /sys/firmware/devicetree/base/model \
    /sys/class/dmi/id/product_name; do
  one $file; say board "$line"
done
grep -E "^(model name|Hardware|CPU part)" /proc/cpuinfo | sort -u | head -n 16 | all cpu
say cores "$(nproc || getconf _NPROCESSORS_ONLN)"
grep -E "^Mem(Total|Free|Available):" /proc/meminfo | all memory
{ df -kP . || df -k .; } | all disk
say libc "$(getconf GNU_LIBC_VERSION)"
ldd --version | head -n 1 | all libc
key=musl; there /lib/ld-musl-*
best=-1; chosen=
for folder in /sys/devices/system/cpu/cpufreq/policy* /sys/devices/system/cpu/cpu0/cpufreq; do
  one "$folder/cpuinfo_max_freq"
  [ "${line:-0}" -gt $best ] && [ -d "$folder" ] && best=${line:-0} && chosen=$folder
done
one "$chosen/scaling_governor"; say governor "$line"
one "$chosen/scaling_cur_freq"; say clock "$line"
one "$chosen/cpuinfo_max_freq"; say max_clock "$line"
for folder in /sys/class/thermal/thermal_zone*; do
  one "$folder/temp"; heat=$line
  one "$folder/type"; [ -n "$heat" ] && say heat "$heat $line"
done
say throttled "$(vcgencmd get_throttled)"
for folder in /sys/bus/usb/devices/*; do
  one "$folder/idVendor"; id=$line
  one "$folder/idProduct"
  case $id:$line in @usb@) say usb "$id:$line";; esac
done
@accelerators@
for name in apt-get dnf apk pacman zypper; do
  command -v $name >/dev/null && say installer $name
done
PATH=$HERE
say home "$HOME"
if [ "$1" = home ] && [ -n "${HOME#/}" ]; then
  for file in "$HOME/.venv/bin/python" "$HOME/venv/bin/python" "$HOME/env/bin/python" \
      "$HOME"/*/bin/python3; do
    [ -x "$file" ] && say python "$file"
  done
fi
for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
    /data/data/com.termux/files/usr/bin/python; do
  say python "$(command -v $name)"
done
} 2>/dev/null
echo "@edgekit done=yes"
"""

# Names of distributions, the usual one first. TensorFlow is not imported: that takes long.
CODE = r"""
import json, struct, sys
found = {"version": "%d.%d.%d" % sys.version_info[:3], "bits": 8 * struct.calcsize("P")}
found["prefix"] = sys.prefix
def there(name):
    from importlib.util import find_spec
    spec = find_spec(name)
    return spec is not None and spec.origin is not None
def version(module, names):
    try:
        from importlib.metadata import version
    except ImportError:
        version = None
    for name in names if version else ():
        try:
            return str(version(name))
        except Exception:
            pass
    if module == "tensorflow":
        return "unknown"
    return str(getattr(__import__(module), "__version__", "unknown"))
wanted = [
    ("numpy", ["numpy"]),
    ("ai_edge_litert", ["ai-edge-litert", "ai-edge-litert-nightly"]),
    ("tflite_runtime", ["tflite-runtime", "tflite-runtime-nightly"]),
    ("tensorflow", ["tensorflow", "tensorflow-cpu", "tensorflow-aarch64", "tf-nightly"]),
]
for module, names in wanted:
    try:
        found[module] = version(module, names) if there(module) else None
    except Exception:
        found[module] = None
try:
    import ensurepip, venv
    found["venv"] = True
except Exception:
    found["venv"] = False
print("\n@edgekit " + json.dumps(found))
"""
