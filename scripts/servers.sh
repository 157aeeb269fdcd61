# shellcheck shell=bash
# Private servers for tests and measurements: a new PostgreSQL cluster, a nats-server, a tinyproxy and an SMTP server,
# on free ports of 127.0.0.1, with everything they write in one temporary folder.
#
# To be sourced by a bash script with `set -euo pipefail`. That script has to call servers_stop on
# every way out, best by `trap servers_stop EXIT` and a trap for INT, TERM and HUP that exits.
#
#   servers_install postgres nats tinyproxy
#                                  installs what is missing (Debian: apt-get, as root or with sudo)
#   servers_folder [WHERE]         makes the temporary folder in WHERE and sets servers_dir; otherwise
#                                  the first server makes it, in $TMPDIR or /tmp
#   servers_postgres fast|durable  sets POSTGRES_URL, POSTGRES_PID and POSTGRES_CA, a file with the certificate
#                                  that it has for TLS. fast, for tests, writes nothing through to the
#                                  disk; durable is PostgreSQL's default
#   servers_nats                   sets NATS_URL
#   servers_tinyproxy              sets PROXY_URL, of a forward proxy, and PROXY_CREDENTIALS, the file with the name
#                                  and the password that it wants
#   servers_prichal PROGRAM NAME   starts a Prichal with an empty data directory and the administrator's token of
#                                  PRICHAL_ADMIN_TOKEN, for five minutes at most, and sets and exports PRICHAL_URL
#   servers_prichal_failed NAME    ends the script, because what was done with that server has failed
#   servers_smtp                   sets SMTP_URL, of an SMTP server with STARTTLS, SMTP_CA, a file with its certificate,
#                                  SMTP_CREDENTIALS, the file with the name and the password that it wants, and SMTP_MAILS,
#                                  the Maildir of all mails. It is a Python program: scripts/tools.sh has to be sourced, too
#   servers_chromium               installs Chromium with its driver, and axe-core from npm; sets CHROMEDRIVER, the driver,
#                                  and AXE, the file of axe-core. Tests start browsers by themselves. scripts/tools.sh has
#                                  to be sourced, too
#   servers_oidc                   sets OIDC_URL, of an OpenID provider, and OIDC_SECRET, the file with the secret of its client
#                                  `hub`. It is a Node program: scripts/tools.sh has to be sourced, too
#   servers_stop                   ends what was started, by process id, and removes the folder

servers_dir=
servers_pids=()
servers_policy=

servers_say() {
  printf '%s\n' "$*" >&2
}

servers_fail() {
  servers_say "error: $*"
  exit 1
}

# ---- Programs -------------------------------------------------------------------------------------

# Prints the path of a program that may be outside of PATH, where Debian puts it.
servers_find() {
  local program=$1 path
  # The highest version first: a cluster is new each time, so any will do.
  while read -r path; do
    if [[ -x $path/$program ]]; then
      printf '%s\n' "$path/$program"
      return
    fi
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)
  if path=$(command -v "$program"); then
    printf '%s\n' "$path"
    return
  fi
  path=/usr/sbin/$program
  [[ -x $path ]] && printf '%s\n' "$path"
}

servers_install() {
  local packages=() server
  for server in "$@"; do
    case $server in
      postgres)
        servers_find initdb >/dev/null || packages+=(postgresql)
        command -v openssl >/dev/null || packages+=(openssl)
        ;;
      nats) servers_find nats-server >/dev/null || packages+=(nats-server) ;;
      tinyproxy) servers_find tinyproxy >/dev/null || packages+=(tinyproxy-bin) ;;
      *) servers_fail "servers_install takes postgres, nats and tinyproxy, not '$server'" ;;
    esac
  done
  servers_apt "${packages[@]}"
}

# Installs Debian packages without starting any service they bring.
servers_apt() {
  if (($# == 0)); then
    return
  fi
  command -v apt-get >/dev/null || servers_fail "missing: $*. Install them; this script can only do it with apt-get."
  local root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || servers_fail "missing: $*. Install them as root: apt-get install $*"
    root=(sudo)
  fi
  servers_say "installing: $*"
  # The programs are all that is wanted: nothing should listen on the usual ports because of a test.
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    servers_policy=$policy
    "${root[@]}" chmod 755 "$policy"
  fi
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
  servers_allow
}

# Lets packages start their services again.
servers_allow() {
  if [[ -n $servers_policy ]]; then
    if ((EUID == 0)); then rm -f "$servers_policy"; else sudo rm -f "$servers_policy"; fi
    servers_policy=
  fi
}

# ---- Start ----------------------------------------------------------------------------------------

servers_folder() {
  if [[ -z $servers_dir ]]; then
    servers_dir=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/prichal-servers.XXXXXXXX")
    chmod 755 "$servers_dir"
  fi
}

# A port below those that the system gives to outgoing connections, which nobody listens on.
servers_port() {
  local port
  while true; do
    port=$((15000 + RANDOM % 15000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return
    fi
  done
}

# Starts a program in the background, in a process group of its own, so that Ctrl-C at the terminal
# does not reach it before the tests have ended. It gets a signal if this shell is killed.
# $1 is that signal, $2 the log, the rest the command. Sets servers_pid.
servers_spawn() {
  local signal=$1 log=$2 restore=
  shift 2
  [[ $- == *m* ]] || restore=1
  set -m
  setpriv --pdeathsig "$signal" "$@" >"$log" 2>&1 </dev/null &
  servers_pid=$!
  if [[ -n $restore ]]; then set +m; fi
  servers_pids+=("$servers_pid")
}

# Waits until a command succeeds while the process lives. $1 is the process, the rest the command.
servers_wait() {
  local pid=$1 n
  shift
  for ((n = 0; n < 600; n++)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

servers_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# A server that lost its port to somebody in the moment between the look and the start gets another.
servers_taken() {
  grep -qi 'address already in use' "$1"
}

servers_forget() {
  local pid=$1 kept=() other
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  for other in "${servers_pids[@]}"; do
    [[ $other == "$pid" ]] || kept+=("$other")
  done
  servers_pids=("${kept[@]}")
}

servers_postgres() {
  local durability=$1 initdb postgres ready password data log port try user
  local as=() settings=()
  initdb=$(servers_find initdb) || servers_fail "initdb is not installed"
  postgres=$(servers_find postgres) || servers_fail "postgres is not installed"
  ready=$(servers_find pg_isready) || servers_fail "pg_isready is not installed"
  servers_folder
  data=$servers_dir/postgres
  log=$servers_dir/postgres.log
  mkdir "$data"
  POSTGRES_CA=$servers_dir/postgres.crt
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$servers_dir/postgres.key" -out "$POSTGRES_CA" >"$log" 2>&1 ||
    servers_fail "no certificate for PostgreSQL:"$'\n'"$(cat "$log")"
  chmod 600 "$servers_dir/postgres.key"
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s\n' "$password" >"$servers_dir/password"
  if ((EUID == 0)); then
    # PostgreSQL does not run as root.
    user=nobody
    if id -u postgres >/dev/null 2>&1; then user=postgres; fi
    chown "$user" "$data" "$servers_dir/password" "$servers_dir/postgres.key"
    as=(--reuid "$user" --regid "$(id -g "$user")" --clear-groups)
  fi
  chmod 600 "$servers_dir/password"
  # It is started in its folder, since the other user may not be allowed into this one.
  (cd "$servers_dir" && setpriv "${as[@]}" "$initdb" --pgdata="$data" --username=prichal --auth=scram-sha-256 \
    --pwfile="$servers_dir/password" --locale=C --encoding=UTF8 --no-sync) >"$log" 2>&1 ||
    servers_fail "initdb failed:"$'\n'"$(cat "$log")"
  case $durability in
    fast) settings=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off) ;;
    durable) settings=(-c fsync=on -c synchronous_commit=on -c full_page_writes=on) ;;
    *) servers_fail "servers_postgres takes fast or durable, not '$durability'" ;;
  esac
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    # INT asks PostgreSQL for a fast end, TERM would wait for the clients.
    servers_spawn INT "$log" "${as[@]}" "$postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 \
      -c unix_socket_directories= -c max_connections=300 -c ssl=on -c ssl_cert_file="$POSTGRES_CA" \
      -c ssl_key_file="$servers_dir/postgres.key" "${settings[@]}"
    POSTGRES_PID=$servers_pid
    if servers_wait "$POSTGRES_PID" "$ready" -h 127.0.0.1 -p "$port" -d postgres -U prichal; then
      # shellcheck disable=SC2034 # for those who source this file
      POSTGRES_URL=postgres://prichal:$password@127.0.0.1:$port/postgres
      return
    fi
    servers_forget "$POSTGRES_PID"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "PostgreSQL did not start:"$'\n'"$(cat "$log")"
}

servers_nats() {
  local nats log port try
  nats=$(servers_find nats-server) || servers_fail "nats-server is not installed"
  servers_folder
  log=$servers_dir/nats.log
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    servers_spawn TERM "$log" "$nats" --addr 127.0.0.1 --port "$port"
    if servers_wait "$servers_pid" servers_answers "$port"; then
      # shellcheck disable=SC2034 # for those who source this file
      NATS_URL=nats://127.0.0.1:$port
      return
    fi
    servers_forget "$servers_pid"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "nats-server did not start:"$'\n'"$(cat "$log")"
}

servers_tinyproxy() {
  local tinyproxy password log port try
  tinyproxy=$(servers_find tinyproxy) || servers_fail "tinyproxy is not installed"
  servers_folder
  log=$servers_dir/tinyproxy.log
  # shellcheck disable=SC2034 # for those who source this file
  PROXY_CREDENTIALS=$servers_dir/tinyproxy.credentials
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf 'prichal:%s\n' "$password" >"$PROXY_CREDENTIALS"
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    printf '%s\n' "Port $port" "Listen 127.0.0.1" "Timeout 60" "MaxClients 200" "BasicAuth prichal $password" \
      >"$servers_dir/tinyproxy.conf"
    servers_spawn TERM "$log" "$tinyproxy" -d -c "$servers_dir/tinyproxy.conf"
    if servers_wait "$servers_pid" servers_answers "$port"; then
      # shellcheck disable=SC2034 # for those who source this file
      PROXY_URL=http://127.0.0.1:$port
      return
    fi
    servers_forget "$servers_pid"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "tinyproxy did not start:"$'\n'"$(cat "$log")"
}

servers_smtp() {
  local password log port try
  tools_python smtp tests/smtp/requirements.txt
  servers_folder
  log=$servers_dir/smtp.log
  SMTP_CA=$servers_dir/smtp.crt
  SMTP_CREDENTIALS=$servers_dir/smtp.credentials
  SMTP_MAILS=$servers_dir/mails
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE \
    -addext subjectAltName=DNS:localhost -keyout "$servers_dir/smtp.key" -out "$SMTP_CA" >"$log" 2>&1 ||
    servers_fail "no certificate for the SMTP server:"$'\n'"$(cat "$log")"
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf 'prichal:%s\n' "$password" >"$SMTP_CREDENTIALS"
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    servers_spawn TERM "$log" "$tools_bin/python" tests/smtp/server.py "$port" "$SMTP_CA" "$servers_dir/smtp.key" \
      "$SMTP_CREDENTIALS" "$SMTP_MAILS"
    if servers_wait "$servers_pid" servers_answers "$port"; then
      # shellcheck disable=SC2034 # for those who source this file
      SMTP_URL=smtp://localhost:$port
      return
    fi
    servers_forget "$servers_pid"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "the SMTP server did not start:"$'\n'"$(cat "$log")"
}

servers_chromium() {
  local packages=()
  command -v chromium >/dev/null || packages+=(chromium)
  command -v chromedriver >/dev/null || packages+=(chromium-driver)
  # Letters of all languages that pages are in.
  fc-list 2>/dev/null | grep -q DejaVu || packages+=(fonts-dejavu)
  servers_apt "${packages[@]}"
  tools_node browser tests/browser
  # shellcheck disable=SC2034 # for those who source this file
  CHROMEDRIVER=$(command -v chromedriver) AXE=$tools_modules/axe-core/axe.min.js
}

servers_oidc() {
  local log port try
  tools_node oidc tests/oidc
  servers_folder
  log=$servers_dir/oidc.log
  OIDC_SECRET=$servers_dir/oidc.secret
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$OIDC_SECRET"
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    servers_spawn TERM "$log" env "NODE_MODULES=$tools_modules" "$tools_node_bin/node" tests/oidc/server.mjs "$port" \
      "$(cat "$OIDC_SECRET")"
    if servers_wait "$servers_pid" servers_answers "$port"; then
      # shellcheck disable=SC2034 # for those who source this file
      OIDC_URL=http://127.0.0.1:$port
      return
    fi
    servers_forget "$servers_pid"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "the OpenID provider did not start:"$'\n'"$(cat "$log")"
}

servers_prichal() {
  local program=$1 port try log data
  servers_folder
  log=$servers_dir/$2.log data=$servers_dir/$2
  for try in 1 2 3 4 5; do
    port=$(servers_port)
    # A server whose guard is killed is killed, too.
    servers_spawn TERM "$log" timeout --kill-after=10 300 setpriv --pdeathsig KILL \
      "$program" serve --listen "127.0.0.1:$port" --data-dir "$data" --allow-private-targets --log-level warn
    if servers_wait "$servers_pid" servers_answers "$port"; then
      export PRICHAL_URL=http://127.0.0.1:$port
      return
    fi
    servers_forget "$servers_pid"
    if ((try == 5)) || ! servers_taken "$log"; then break; fi
  done
  servers_fail "the server did not start:"$'\n'"$(cat "$log")"
}

servers_prichal_failed() {
  servers_fail "the rounds of $1 failed; the server's last lines:"$'\n'"$(tail -n 20 "$servers_dir/$1.log")"
}

# ---- Stop -----------------------------------------------------------------------------------------

servers_stop() {
  local pid n
  for pid in "${servers_pids[@]}"; do
    # The others end on INT as well.
    kill -INT "$pid" 2>/dev/null || true
  done
  for pid in "${servers_pids[@]}"; do
    for ((n = 0; n < 200; n++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  servers_pids=()
  if [[ -n $servers_dir ]]; then
    rm -rf "$servers_dir"
    servers_dir=
  fi
  servers_allow
}
