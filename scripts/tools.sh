# shellcheck shell=bash
# Tools of other people: Python packages from PyPI and Node packages from npm, with the versions and checksums of lock
# files. Each set has a folder of its own in target/tools, and is installed again when its lock file changes.
#
# To be sourced after scripts/servers.sh by a bash script with `set -euo pipefail` that stands in the project's folder.
#
#   tools_python NAME FILE    installs the packages of a requirements file with hashes; sets tools_bin, the folder of
#                             their programs
#   tools_node NAME FOLDER    installs Node, and the packages of FOLDER/package-lock.json; sets tools_modules, their
#                             node_modules, and tools_node_bin, the folder of node and npm

tools_bin=
tools_modules=
tools_node_bin=

# Prints the folder of a set.
tools_folder() {
  printf '%s\n' "$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools/$1"
}

tools_python() {
  local folder lock=$2
  folder=$(tools_folder "$1")
  tools_bin=$folder/bin
  if cmp -s "$folder/lock" "$lock"; then return; fi
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || servers_apt ca-certificates
  python3 -c 'import ensurepip, venv' 2>/dev/null || servers_apt python3 python3-venv
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || servers_fail "Python is older than 3.11"
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$tools_bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
  cp "$lock" "$folder/lock"
}

tools_node() {
  local folder from=$2 tools_bin
  # Debian's Node is older than some packages need, so Node comes from PyPI, too.
  tools_python node tests/node.txt
  tools_node_bin=$tools_bin
  folder=$(tools_folder "$1")
  tools_modules=$folder/node_modules
  if cmp -s "$folder/lock" "$from/package-lock.json"; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$from/package.json" "$from/package-lock.json" "$folder"
  # Packages run no scripts of theirs.
  (cd "$folder" && PATH=$tools_node_bin:$PATH npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  cp "$from/package-lock.json" "$folder/lock"
}
