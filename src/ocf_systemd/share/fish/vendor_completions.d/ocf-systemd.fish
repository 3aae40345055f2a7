# Completion of ocf-systemd for fish: the program prints a value and a description on each line.

function __ocf_systemd_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l plain (string unescape -- "$word"); or set plain $word
    set -l line (string join \n -- $words | string collect)
    _OCF_SYSTEMD_COMPLETE=fish _OCF_SYSTEMD_LINE=$line _OCF_SYSTEMD_WORD="$plain" $words[1] 2>/dev/null
end

complete --command ocf-systemd --no-files --arguments '(__ocf_systemd_complete)'
