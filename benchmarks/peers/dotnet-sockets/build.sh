#!/bin/sh
# Builds the peer; needs only the .NET SDK.
set -eu
cd "$(dirname "$0")"
exec nice dotnet build -c Release --nologo -v quiet Sockets.csproj
