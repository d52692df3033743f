#!/bin/sh
# The digests as another CPU computes them, emulated on this one by QEMU's user mode: minutes for one, half an hour or more for all.
# Usage, from the compendium's folder: sh bench/emulate.sh EPYC-Rome [NAME ...] | diff data/reference/digests.csv -
# `qemu-x86_64 -cpu help` lists CPUs; those with AVX2 will do: Haswell-v4, Skylake-Server-v4, EPYC-Rome, ... (no AVX-512 is emulated).
# QEMU must be 10 or later, as in Debian 13 or bookworm-backports (apt-get install qemu-user): 7.2 gathers wrongly under a mask, which
# ends in NaN or in a crash. PYTHON=... as for make, QEMU=... for one of your own.
set -eu
cpu=$1; shift
python=${PYTHON:-.venv/bin/python}
interpreter=$(readlink -f "$("$python" -c 'import sys; print(sys.executable)')")
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PYTHONPATH=$PWD:$packages exec nice -n 19 "${QEMU:-qemu-x86_64}" -cpu "$cpu" "$interpreter" -m ncrepro digests "$@"
