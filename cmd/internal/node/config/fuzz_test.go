package config

import (
	"strings"
	"testing"
)

// Whatever a file holds, reading it ends with values or with one line.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"name: a\n", "storage:\n  window: 1h\n", "join: [a:1, b:2]\n", "a: &x [1]\nname: *x\n", "? [a]\n: b\n", "---\n...\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		values, err := parseFile("f.yaml", content)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.yaml") {
				t.Errorf("error without its file: %q", err)
			}
			return
		}
		c := Defaults()
		_ = c.apply(values)
	})
}
