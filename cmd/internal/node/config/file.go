package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// given is one value as it was written somewhere, before it is parsed.
type given struct {
	setting Setting
	key     string // as written: settings may have two
	value   string
	source  Source
}

// maxFileBytes bounds a configuration file.
const maxFileBytes = 1 << 20

// parseFile reads a YAML file strictly: an unknown key, a key given twice, or a value of the wrong shape is an error
// with its line. Sections nest or are written with dots; both are the same key.
func parseFile(name string, content []byte) ([]given, error) {
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s: longer than %s", name, FormatSize(maxFileBytes))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: holds more than one YAML document", name)
	}
	f := fileReader{name: name, lines: map[string]int{}}
	if err := f.section("", document.Content[0]); err != nil {
		return nil, err
	}
	return f.found, nil
}

// fileReader walks the tree of one file.
type fileReader struct {
	name  string
	lines map[string]int // line of each key seen, to report the first of two
	found []given
}

func (f *fileReader) section(prefix string, node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil // a section whose keys are all commented out
	}
	if node.Kind != yaml.MappingNode {
		if prefix == "" {
			return fmt.Errorf("%s:%d: the file is not a list of keys and values", f.name, node.Line)
		}
		return fmt.Errorf("%s:%d: %s is a section: its keys are written below it, as %s.KEY, or as `config print` shows", f.name, node.Line, prefix, prefix)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		path := key.Value
		if prefix != "" {
			path = prefix + "." + key.Value
		}
		if err := f.pair(path, key.Line, value); err != nil {
			return err
		}
	}
	return nil
}

func (f *fileReader) pair(path string, line int, value *yaml.Node) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	setting, known := Find(path)
	if !known {
		if isSection(path) {
			return f.section(path, value)
		}
		return fmt.Errorf("%s:%d: unknown key %q%s", f.name, line, path, Nearest(path))
	}
	if first, twice := f.lines[path]; twice {
		return fmt.Errorf("%s:%d: key %q is given twice, first in line %d", f.name, line, path, first)
	}
	f.lines[path] = line
	text, err := scalar(setting, value)
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", f.name, line, path, err)
	}
	f.found = append(f.found, given{setting, path, text, Source(fmt.Sprintf("file %s:%d", f.name, line))})
	return nil
}

func scalar(setting Setting, value *yaml.Node) (string, error) {
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return "", errors.New("has no value")
	case value.Kind == yaml.ScalarNode && setting.Shape == List && noItems(value.Value):
		return "", errors.New(emptyList + "; [] says that there are none")
	case value.Kind == yaml.ScalarNode:
		return value.Value, nil
	case value.Kind == yaml.SequenceNode && setting.Shape == List:
		items := make([]string, 0, len(value.Content))
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("is not a list of single values")
			}
			items = append(items, item.Value)
		}
		list := strings.Join(items, ",")
		if len(items) > 0 && noItems(list) {
			return "", errors.New(emptyList + "; [] says that there are none")
		}
		return list, nil
	default:
		return "", errors.New("takes a single value")
	}
}

func isSection(path string) bool {
	for _, s := range registry {
		if strings.HasPrefix(s.Key, path+".") || strings.HasPrefix(s.Also, path+".") {
			return true
		}
	}
	return false
}
