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
  COMPREPLY=($(flotilla __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ " ${COMP_WORDS[COMP_CWORD-1]} ${COMP_WORDS[COMP_CWORD]} " == *" = "* ]] && COMPREPLY=("${COMPREPLY[@]#--*=}")
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
		Usage:     "a script that completes commands, flags and values in a shell",
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

// complete prints every command, flag or value that may stand where the last word stands.
func complete(app *cli.App, words []string, s streams) int {
	words = joinEquals(words)
	if len(words) == 0 {
		words = []string{""}
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	children, flags := app.Commands, []cli.Flag(nil)
	var path []string
	for _, w := range before {
		if next := find(children, w); next != nil {
			path = append(path, next.Name)
			children, flags = next.Subcommands, next.Flags
			if child := defaultChild(next); child != nil {
				flags = child.Flags
			}
		}
	}
	for _, c := range candidates(path, children, flags, before, current) {
		if strings.HasPrefix(c, current) {
			fmt.Fprintln(s.out, c)
		}
	}
	return exitOK
}

// candidates are all words that may stand behind those before, current being begun.
func candidates(path []string, children []*cli.Command, flags []cli.Flag, before []string, current string) []string {
	if name, _, attached := cutFlag(current); looksLikeFlag(current) && attached {
		values := flagValues(path, findFlag(flags, name), before)
		for i, v := range values {
			values[i] = cutEqual(current) + "=" + v
		}
		return values
	}
	if len(before) > 0 && looksLikeFlag(before[len(before)-1]) {
		last := before[len(before)-1]
		if name, _, attached := cutFlag(last); !attached {
			if f := findFlag(flags, name); f != nil && takesValue(f) {
				return flagValues(path, f, before)
			}
		}
	}
	if !strings.HasPrefix(current, "-") {
		return append(names(children), argumentValues(path, before)...)
	}
	out := []string{"--help"}
	for _, f := range flags {
		out = append(out, "--"+f.Names()[0])
	}
	return out
}

// joinEquals puts --flag = value together again: bash takes an equals sign for a word of its own.
func joinEquals(words []string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		if words[i] == "=" && len(out) > 0 && looksLikeFlag(out[len(out)-1]) {
			out[len(out)-1] += "="
			if i+1 < len(words) {
				i++
				out[len(out)-1] += words[i]
			}
			continue
		}
		out = append(out, words[i])
	}
	return out
}
