#!/bin/sh
cd "${0%/*}" && exec npx --yes bun@1.4.5 run iso --base arch "$@"
