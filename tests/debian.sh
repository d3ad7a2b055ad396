#!/usr/bin/env bash
# The Debian packages that tests need beside Python: a browser, gettext, PostgreSQL and logrotate. `make test` calls this; it
# installs what is missing where it can (Debian, as root) and otherwise says what will be left out.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v xgettext >/dev/null || missing+=(gettext)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
[ -x /usr/sbin/logrotate ] || missing+=(logrotate)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ -e /etc/debian_version ] && [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "not installed: ${missing[*]}; the tests that need them are left out (apt-get install ${missing[*]})"
fi
