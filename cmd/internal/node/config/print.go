package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Effective is one setting with its value: what `config print -o json` lists.
type Effective struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Source  string `json:"source"`
	Scope   string `json:"scope"`
	Doc     string `json:"doc"`
}

// Effective returns every setting with its value and its source.
func (c *Config) Effective() []Effective {
	all := make([]Effective, 0, len(registry))
	for _, s := range registry {
		all = append(all, Effective{s.Key, s.Get(c), s.Default, string(c.Source(s.Key)), s.Scope.String(), s.Doc})
	}
	return all
}

// WriteYAML writes the configuration as a file that Load accepts and that gives the same Config: every key with its
// meaning, and its source where somebody chose it.
func (c *Config) WriteYAML(w io.Writer) error {
	var b strings.Builder
	var open []string // sections that are open
	for _, s := range registry {
		path := strings.Split(s.Key, ".")
		open = openSections(&b, open, path[:len(path)-1])
		indent := strings.Repeat("  ", len(path)-1)
		note := s.Doc
		if source := c.Source(s.Key); source != SourceDefault {
			note = fmt.Sprintf("%s [%s]", s.Doc, source)
		}
		fmt.Fprintf(&b, "%s# %s\n%s%s: %s\n", indent, note, indent, path[len(path)-1], yamlValue(s, s.Get(c)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// openSections writes the headings that lead from the open sections to want, and returns want.
func openSections(b *strings.Builder, open, want []string) []string {
	shared := 0
	for shared < len(open) && shared < len(want) && open[shared] == want[shared] {
		shared++
	}
	for i := shared; i < len(want); i++ {
		fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", i), want[i])
	}
	return want
}

// yamlValue quotes texts (JSON strings are YAML) and leaves numbers, booleans, sizes and durations as they are.
func yamlValue(s Setting, value string) string {
	if s.Shape == List {
		items := []string{}
		if value != "" {
			items = strings.Split(value, ",")
		}
		quoted, _ := json.Marshal(items)
		return string(quoted)
	}
	if value == "" || strings.ContainsAny(value, ":#{}[],&*!|>'\"%@`/ ") {
		quoted, _ := json.Marshal(value)
		return string(quoted)
	}
	return value
}
