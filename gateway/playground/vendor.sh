#!/bin/sh
# Builds the playground's assets from web/, or says whether they are what web/ makes.
#
#   gateway/playground/vendor.sh           writes assets/ anew
#   gateway/playground/vendor.sh --check   changes nothing; ends with 1 where assets/ differs
#
# It needs Node 20 or later and npm, and fetches the packages of web/package-lock.json, by
# their hashes, into a temporary folder. The same sources give the same bytes anywhere.
#
# To take a newer package: change its version in web/package.json, run
# `npm install --package-lock-only` in web/ (web/.npmrc keeps the registry's address out of
# the lock file), run this script, and look at the page.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/web"
find "$here/web" -maxdepth 1 -type f -exec cp {} "$work/web/" \;
(
	cd "$work/web"
	npm ci --loglevel=error >&2
	node build.mjs "$work/assets"
)

if [ "${1:-}" = --check ]; then
	if diff -rq "$here/assets" "$work/assets"; then
		echo "playground: assets are what web/ makes"
		exit 0
	fi
	echo "playground: assets differ from what web/ makes; run gateway/playground/vendor.sh" >&2
	exit 1
fi

rm -rf "$here/assets"
cp -R "$work/assets" "$here/assets"
du -sh "$here/assets"
