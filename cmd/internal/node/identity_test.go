package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestDataDirectoryKnowsItsNode(t *testing.T) {
	dir := t.TempDir()
	made, err := openIdentity(dir, asked{}, asked{name: "n1", cluster: "flotilla", engine: "shared"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "n1" || made.Cluster != "flotilla" || made.NodeID().Validate() != nil {
		t.Fatalf("%+v", made)
	}
	for _, c := range []struct {
		name string
		want asked
		ours bool
	}{
		{"nothing asked for, and another default", asked{}, true},
		{"the same name", asked{name: "n1"}, true},
		{"another name", asked{name: "n2"}, false},
		{"another label", asked{cluster: "other"}, false},
	} {
		got, err := openIdentity(dir, c.want, asked{name: "n9", cluster: "nine", engine: "boltdb"})
		if c.ours && (err != nil || got.NodeID() != made.NodeID()) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if !c.ours && !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDirectoryThatIsNotOursIsLeftAlone(t *testing.T) {
	for name, fill := range map[string]func(dir string) error{
		"somebody's files": func(dir string) error { return os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600) },
		"unreadable identity": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte("{"), 0o600)
		},
		"a later format": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"format":2,"name":"n1","incarnation":"00000001"}`), 0o600)
		},
		"no node's identity": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"format":1,"name":"a b"}`), 0o600)
		},
	} {
		dir := t.TempDir()
		if err := fill(dir); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		cfg := settingsOf(t, "n1", dir)
		if _, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: %s, before %s", name, after, before)
		}
	}
}

func TestFreshFileSystemIsAnEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := openIdentity(dir, asked{}, asked{name: "n1", cluster: "flotilla", engine: "shared"}); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second lock: %v", err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range entries {
		raw, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		text += e.Name() + "=" + string(raw) + ";"
	}
	return text
}
