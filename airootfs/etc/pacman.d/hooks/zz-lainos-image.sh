#!/bin/sh
# The last of pacman's hooks as the medium's root is made: takes away what would differ in two builds of
# one date, and itself. On the medium and on installed systems it is not there.

set -eu

# To the image's own date, which all its files have at most, instead of the moment of this build. Not by
# a wrong clock for all of the build: signatures and certificates of later than that would not count.
if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
	sed -i "/^%INSTALLDATE%\$/{n;s/.*/$SOURCE_DATE_EPOCH/}" /var/lib/pacman/local/*/desc
fi

# Made again by the next ldconfig; it has the inode numbers of this root in it.
rm -f /var/cache/ldconfig/aux-cache

# Of useradd: the accounts as they were before the last.
rm -f /etc/.pwd.lock /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-

rm /etc/pacman.d/hooks/zz-lainos-image.hook /etc/pacman.d/hooks/zz-lainos-image.sh
