package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeVerb is what the shells' scripts call: flotilla __complete WORD... prints the candidates for the last word.
const completeVerb = "__complete"

var completionScripts = map[string]string{
	"bash": `_flotilla() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(flotilla __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _flotilla flotilla
`,
	"zsh": `#compdef flotilla
_flotilla() {
  local -a candidates
  candidates=("${(@f)$(flotilla __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates || _files
}
compdef _flotilla flotilla
`,
	"fish": `complete -c flotilla -f -a '(flotilla __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
}

func completionVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "a script that completes commands and flags in a shell",
		ArgsUsage: "bash|zsh|fish",
		Action: func(c *cli.Context) error {
			if err := arity(c, 1, 1); err != nil {
				return err
			}
			script, ok := completionScripts[c.Args().First()]
			if !ok {
				return usagef("shell %q is not bash, zsh or fish", c.Args().First())
			}
			_, err := fmt.Fprint(s.out, script)
			return err
		},
		Description: `source <(flotilla completion bash)
flotilla completion zsh > "${fpath[1]}/_flotilla"
flotilla completion fish > ~/.config/fish/completions/flotilla.fish`,
	}
}

// complete prints every command or flag that may stand where the last word stands.
func complete(app *cli.App, words []string, s streams) int {
	if len(words) == 0 {
		words = []string{""}
	}
	current := words[len(words)-1]
	children, flags := app.Commands, []cli.Flag(nil)
	for _, w := range words[:len(words)-1] {
		if next := find(children, w); next != nil {
			children, flags = next.Subcommands, next.Flags
			if child := defaultChild(next); child != nil {
				flags = child.Flags
			}
		}
	}
	var candidates []string
	if strings.HasPrefix(current, "-") {
		candidates = append(candidates, "--help")
		for _, f := range flags {
			candidates = append(candidates, "--"+f.Names()[0])
		}
	} else {
		candidates = names(children)
	}
	for _, c := range candidates {
		if strings.HasPrefix(c, current) {
			fmt.Fprintln(s.out, c)
		}
	}
	return exitOK
}
