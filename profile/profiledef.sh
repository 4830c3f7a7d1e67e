#!/usr/bin/env bash
# The live medium as mkarchiso(1) builds it; archiso's profile documentation explains the names.
#
# shellcheck disable=SC2034 # mkarchiso reads what is set here

iso_name=LainOS
iso_label=LAINOS
iso_publisher='LainOS <https://lainos.net>'
iso_application='LainOS layer 02, live and installer'
iso_version=$(date --utc --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y.%m.%d)
install_dir=arch
arch=x86_64
buildmodes=(iso)
bootmodes=(bios.syslinux uefi.grub)
pacman_conf=pacman.conf
airootfs_image_type=squashfs
airootfs_image_tool_options=(-comp zstd -Xcompression-level 19 -b 1M)

# mkarchiso copies airootfs/ as files of root with 0644. What must be otherwise stands here.
file_permissions=(
	["/etc/doas.conf"]="0:0:0400"
	["/etc/gshadow"]="0:0:0400"
	["/etc/init.d/lainos-serial"]="0:0:0755"
	# polkitd's, as its package has it: 102 is the group's number in Arch's sysusers.d.
	["/etc/polkit-1/rules.d"]="0:102:0750"
	["/etc/shadow"]="0:0:0400"
	["/etc/skel/.config/openbox/autostart"]="0:0:0755"
	["/etc/skel/.config/sway/status.sh"]="0:0:0755"
	["/usr/local/bin/calamares_polkit"]="0:0:0755"
	["/usr/local/bin/lainos-dracut"]="0:0:0755"
	["/usr/local/bin/lainos-session"]="0:0:0755"
	["/usr/local/bin/lainos-session-openbox"]="0:0:0755"
	["/usr/local/bin/lainos-session-sway"]="0:0:0755"
)
