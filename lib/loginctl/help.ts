/** What --help prints. */

export const LOGINCTL_HELP = `loginctl [OPTIONS...] VERB ...

Shows and controls the logins that org.freedesktop.login1 knows of.

Sessions:
  list-sessions             all sessions; what is done without a verb
  session-status [ID...]    one in a few words, with its processes
  show-session [ID...]      its properties, or the manager's
  activate [ID]             bring it to the foreground of its seat
  lock-session [ID...]      ask its screen locker to lock
  unlock-session [ID...]    ask its screen locker to unlock
  lock-sessions             the same for all sessions
  unlock-sessions
  terminate-session ID...   end all processes of it
  kill-session ID...        send its processes a signal

Users:
  list-users                all users who are logged in or linger
  user-status [USER...]     one in a few words, with the processes
  show-user [USER...]       the user's properties, or the manager's
  enable-linger [USER...]   keep the user's runtime directory without a login
  disable-linger [USER...]
  terminate-user USER...    end all processes of the user
  kill-user USER...         send the user's processes a signal

Seats:
  list-seats                all seats
  seat-status [NAME...]     one in a few words, with its devices
  show-seat [NAME...]       its properties, or the manager's
  attach NAME DEVICE...     give devices to a seat for good
  flush-devices             forget all that was given
  terminate-seat NAME...    end all sessions on it

The machine, as elogind's loginctl has it:
  halt                      stop it, and leave it switched on
  poweroff                  switch it off
  reboot                    start it anew
  kexec                     start the kernel that kexec has loaded
  sleep                     have login1 choose one of the next four
  suspend                   keep memory under power, and nothing else
  hibernate                 write memory to the disk, and switch it off
  hybrid-sleep              both, for what comes first
  suspend-then-hibernate    first the one, later the other
  daemon-reload             have login1 read its configuration again
  list                      the same as list-sessions

Without an ID, USER or NAME it is the session, user or seat of the caller.

  -h --help              print this
     --version           print the version
     --no-pager          print to the terminal without a pager
     --no-legend         print neither the header nor the count
  -H --host=HOST         not supported: run loginctl there, by ssh
  -M --machine=NAME      not supported: run loginctl inside of the container
     --no-ask-password   fail where a password would be asked for
  -p --property=NAME     only this property; may be given several times
  -P NAME                the same, and only its value
  -a --all               empty properties too
     --value             values without their names
  -l --full              do not cut lines to the terminal's width
     --kill-whom=WHOM    leader or all (the default)
  -s --signal=SIGNAL     by name or number; list lists them
  -n --lines=N           accepted; there is no journal to show lines of
  -o --output=MODE       accepted; there is no journal to show
     --json=MODE         lists as JSON: pretty, short or off
  -j                     --json=pretty on a terminal, else --json=short

Of the machine:
  -i --ignore-inhibitors  whatever inhibitors or other users stand against it
  -f --force              the same; given twice, without login1, by the kernel
                          alone: nothing is written, nobody is told
  -c                      call off a shutdown that is scheduled
     --when=TIME          go down then; auto, show or cancel
     --no-wall            do not tell everybody
     --dry-run            only print what would be done
     --firmware-setup     go to the firmware's setup at the next boot
     --boot-loader-menu=TIME  show the boot loader's menu for so long
     --boot-loader-entry=NAME  boot this entry once; help lists them
     --reboot-argument=ARG  what the kernel gives to the firmware
`;

export const INHIBIT_HELP = `systemd-inhibit [OPTIONS...] COMMAND [ARGUMENT...]

Runs a command, and keeps the system from shutting down, sleeping or going idle as long as it runs.

  -h --help          print this
     --version       print the version
     --no-pager      print to the terminal without a pager
     --no-legend     print neither the header nor the count
     --json=MODE     the list as JSON: pretty, short or off
     --what=WHAT     what is inhibited, joined by colons: shutdown, sleep, idle,
                     handle-power-key, handle-suspend-key, handle-hibernate-key,
                     handle-reboot-key, handle-lid-switch; idle:sleep:shutdown
                     if not given
     --who=TEXT      who inhibits it; the command if not given
     --why=TEXT      why
     --mode=MODE     block (the default), block-weak or delay
     --list          list the inhibitors; what is done without a command; those
                     of which all is true that --what=, --who=, --why= and
                     --mode= say
     --no-ask-password  fail where a password would be asked for
`;
