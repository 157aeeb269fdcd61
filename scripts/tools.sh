# shellcheck shell=bash
# Tools of other people that check ours: Python packages from PyPI and Node packages from npm, in pinned versions, each
# set in a folder of its own below target/tools. A set is installed again when its list of versions changes.
#
# To be sourced after scripts/servers.sh by a bash script with `set -euo pipefail` that stands in the project's folder.
#
#   tools_python NAME FILE    installs the packages of a requirements file; sets tools_bin, the folder of their programs
#   tools_node NAME FOLDER    installs the packages of FOLDER/package-lock.json; sets tools_modules, their node_modules.
#                             Node itself is the one that tools_python has installed

tools_bin=
tools_modules=

# True if a set was installed from these very files.
tools_current() {
  local folder=$1
  shift
  [[ -e $folder/versions ]] && cmp -s "$folder/versions" <(cat "$@")
}

tools_python() {
  local folder=$PWD/target/tools/$1 list=$2
  tools_bin=$folder/bin
  if tools_current "$folder" "$list"; then return; fi
  python3 -c 'import ensurepip, venv' 2>/dev/null || servers_apt python3 python3-venv
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$tools_bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$list"
  cp "$list" "$folder/versions"
}

tools_node() {
  local folder=$PWD/target/tools/$1 from=$2
  tools_modules=$folder/node_modules
  if tools_current "$folder" "$from/package.json" "$from/package-lock.json"; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$from/package.json" "$from/package-lock.json" "$folder"
  # No script of a package is run.
  (cd "$folder" && PATH=$tools_bin:$PATH npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  cat "$from/package.json" "$from/package-lock.json" >"$folder/versions"
}
