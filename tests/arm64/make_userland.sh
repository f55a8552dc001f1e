#!/usr/bin/env bash
# Makes an arm64 Debian userland in a folder, as on a Raspberry Pi: its Python with its numpy, a user
# "pi" with a TFLite runtime in ~/edgekit, and an sshd. Where it is there already, only sees to it
# that this machine runs arm64 programs. Usage: make_userland.sh SUITE FOLDER
# PYTHON names the Python of this machine whose pip downloads the wheels.
set -euo pipefail

# What Raspberry Pi OS is made of, and the runtime for its Python. tflite-runtime ends with 3.11.
declare -A PYTHONS=([bookworm]=311 [trixie]=313)
declare -A RUNTIMES=([bookworm]=tflite-runtime==2.14.0 [trixie]=ai-edge-litert)
CONSTRAINTS=$(dirname "${BASH_SOURCE[0]}")/../../constraints.txt
PACKAGES=python3,python3-numpy,python3-venv,openssh-server,ca-certificates
BINFMT=/proc/sys/fs/binfmt_misc
QEMU=qemu-aarch64-static
VENV=/home/pi/edgekit

# The header of an arm64 ELF program, and which of its bits count.
MAGIC='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

fail() {
    printf 'error: %s\ntry:   %s\n' "$1" "$2" >&2
    exit 3
}

need() {
    command -v "$1" >/dev/null || fail "there is no $1" "apt-get install $2"
}

# Lets the kernel hand arm64 programs to qemu. With F it opens qemu now, so a chroot needs no copy.
register() {
    [ -e "$BINFMT/register" ] || mount -t binfmt_misc binfmt_misc "$BINFMT" ||
        fail "binfmt_misc cannot be mounted" "a machine or container that may mount"
    if [ -e "$BINFMT/qemu-aarch64" ]; then
        grep -q '^flags:.*F' "$BINFMT/qemu-aarch64" ||
            fail "arm64 programs are registered without the flag F" "echo -1 > $BINFMT/qemu-aarch64"
    else
        { update-binfmts --enable qemu-aarch64 2>/dev/null && [ -e "$BINFMT/qemu-aarch64" ]; } ||
            echo ":qemu-aarch64:M::$MAGIC:$MASK:$(command -v $QEMU):OCF" >"$BINFMT/register" ||
            fail "arm64 programs cannot be registered" "root on a machine, not in a container"
    fi
    grep -q '^enabled' "$BINFMT/qemu-aarch64" ||
        fail "arm64 programs are registered, but not enabled" "echo 1 > $BINFMT/qemu-aarch64"
}

# Where this machine's own apt gets Debian from, which has all suites; nothing leaves the choice to
# debootstrap.
mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016  # $(REPO_URI) is apt's
    apt-get indextargets --format '$(REPO_URI)' \
        "Component: main" "Label: Debian" "Identifier: Packages" 2>/dev/null |
        sed -n '1s|/*$||p'
}

# Runs a program in the userland, with nothing of this machine's environment.
inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$new" "$@"
}

# The second half; runs where its mounts are seen by nobody else and end with it.
complete() {
    new=$1 runtime=$2
    mount -t proc proc "$new/proc"
    inside /debootstrap/debootstrap --second-stage
    inside mkdir -p /run/sshd
    # A password of * can never be typed; with the usual ! sshd would take the account for locked.
    inside useradd --create-home --shell /bin/bash --password '*' pi
    inside su pi -c "python3 -m venv --system-site-packages $VENV"
    inside su pi -c "$VENV/bin/pip install --no-index --find-links /wheels $runtime"
    rm -rf "$new/wheels" "$new"/var/cache/apt/archives/*.deb "$new"/etc/ssh/ssh_host_*
    inside su pi -c "$VENV/bin/python -" <<'PYTHON'
import platform
from importlib import import_module, util
from importlib.metadata import version

import numpy

(runtime,) = filter(util.find_spec, ("ai_edge_litert", "tflite_runtime"))
import_module(f"{runtime}.interpreter")
names = platform.machine(), platform.python_version(), numpy.__version__, runtime, version(runtime)
print("{}: python {}, numpy {}, {} {}".format(*names))
PYTHON
}

if [ "${1-}" = --complete ]; then
    complete "$2" "$3"
    exit
fi
[ $# = 2 ] || fail "the suite and the folder of the userland are not given" "$0 trixie .arm64/trixie"
suite=$1 python=${PYTHONS[$1]-} runtime=${RUNTIMES[$1]-}
[ -n "$python" ] || fail "there is no TFLite runtime for the suite $1" "one of ${!PYTHONS[*]}"
[ "$(id -u)" = 0 ] || fail "only root can make and run the userland" "sudo make test-arm64"
need debootstrap debootstrap
need "$QEMU" qemu-user-static
target=$(realpath -m -- "$2")
new=$target.new
[[ $target != *[[:space:]]* ]] || fail "debootstrap takes no folder with a space" "another one"
folder=$(dirname "$target")
mkdir -p "$folder"
exec 9<"$folder"
flock 9 # a second run waits for the first
register
[ ! -d "$target" ] || exit 0

trap 'rm -rf --one-file-system -- "$new"' EXIT
rm -rf --one-file-system -- "$new"
from=$(mirror)
debootstrap --arch=arm64 --foreign --variant=minbase --include=$PACKAGES "$suite" "$new" \
    ${from:+"$from"}
mkdir "$new/wheels"
"${PYTHON:-python3}" -m pip download --quiet -c "$CONSTRAINTS" --only-binary=:all: \
    --implementation cp --python-version "$python" \
    --platform manylinux_2_34_aarch64 --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    --dest "$new/wheels" "$runtime"
chmod -R a+rX "$new/wheels"
unshare --mount --propagation private bash "${BASH_SOURCE[0]}" --complete "$new" "$runtime"
mv -T -- "$new" "$target"
echo "$2 is ready"
