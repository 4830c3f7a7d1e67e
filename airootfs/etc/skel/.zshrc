# zsh for people at a terminal: history, completion, a few aliases and the prompt.

HISTFILE=${ZDOTDIR:-$HOME}/.zsh_history
HISTSIZE=20000
SAVEHIST=20000
setopt share_history hist_ignore_all_dups hist_ignore_space hist_reduce_blanks
setopt auto_cd interactive_comments no_beep prompt_subst

# vi or emacs by $EDITOR is zsh's default; the keys below are for both.
bindkey -e
bindkey '^[[A' up-line-or-search
bindkey '^[[B' down-line-or-search
bindkey '^[[H' beginning-of-line
bindkey '^[[F' end-of-line
bindkey '^[[3~' delete-char
bindkey '^[[1;5C' forward-word
bindkey '^[[1;5D' backward-word

autoload -Uz compinit
mkdir -p "${XDG_CACHE_HOME:=$HOME/.cache}"
compinit -d "$XDG_CACHE_HOME/zcompdump"
zstyle ':completion:*' menu select
zstyle ':completion:*' matcher-list '' 'm:{a-z}={A-Z}'
(( $+commands[dircolors] )) && eval "$(dircolors -b)"
zstyle ':completion:*' list-colors ${(s.:.)LS_COLORS} 'ma=30;45'
zstyle ':completion:*:descriptions' format '%F{8}%d%f'

alias ls='ls --color=auto'
alias ll='ls -lh'
alias la='ls -lhA'
alias grep='grep --color=auto'
alias ip='ip --color=auto'
alias services='rc-status'

# Powerlevel10k where it is installed, its settings in ~/.p10k.zsh; otherwise a prompt that looks the
# same and knows less. Both use the terminal's own colours, so they look right on the console too.
if [[ -r /usr/share/zsh-theme-powerlevel10k/powerlevel10k.zsh-theme ]]; then
  [[ -r ~/.p10k.zsh ]] && source ~/.p10k.zsh
  source /usr/share/zsh-theme-powerlevel10k/powerlevel10k.zsh-theme
else
  PROMPT='%F{8}%n@%m%f %F{4}%~%f %(?..%F{1}%?%f )
%(!.%F{1}#.%F{5}>)%f '
fi
