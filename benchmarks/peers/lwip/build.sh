#!/bin/sh
# Builds lwip-peer against the sources of Debian's lwip package, which are fetched from the machine's own Debian mirror into build/ (not tracked).
set -eu
cd "$(dirname "$0")"
mss=1460 # the device's MTU is at least this and 40
if [ ! -d build/lwip/src ]; then
    command -v apt-get >/dev/null || { echo "lwip: no apt-get here. Put lwIP's sources into $PWD/build/lwip." >&2; exit 1; }
    uri=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
    [ -n "$uri" ] || uri=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)
    [ -n "$uri" ] || { echo "lwip: apt names no mirror. Put lwIP's sources into $PWD/build/lwip." >&2; exit 1; }
    . /etc/os-release
    rm -rf build/lwip
    mkdir -p build/lists/partial build/lwip
    echo "deb-src $uri $VERSION_CODENAME main" > build/src.list
    apt="apt-get -o Dir::Etc::SourceList=$PWD/build/src.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/build/lists -o APT::Sandbox::User=root"
    $apt -qq update
    (cd build && $apt -qq source --download-only lwip && tar -xf lwip_*.orig.tar.* -C lwip --strip-components=1)
fi
nice cc -O2 -DTCP_MSS="$mss" -I. -Ibuild/lwip/src/include -o lwip-peer lwip-peer.c build/lwip/src/core/*.c build/lwip/src/core/ipv4/*.c
