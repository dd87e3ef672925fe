package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Inputs is everything that a Config is made of, besides the defaults.
type Inputs struct {
	File    string            // path of the configuration file, or empty
	Environ []string          // as os.Environ returns it
	Flags   map[string]string // by Setting.Key; repeated flags joined with commas
}

// A layer is what one place gave, in the order of that place.
type layer []given

// Load returns the checked Config: flag over environment over file over default. Every error is one line that names
// the place, the key and the rule, and is the caller's to print as wrong usage.
func Load(in Inputs) (Config, error) {
	c := Defaults()
	var fromFile layer
	if in.File != "" {
		content, err := os.ReadFile(in.File)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if fromFile, err = parseFile(filepath.Base(in.File), content); err != nil {
			return Config{}, err
		}
	}
	fromEnvironment, warnings := readEnvironment(in.Environ)
	c.Warnings = warnings
	fromFlags := readFlags(in.Flags)
	if err := refuseEmptyLists(fromEnvironment, fromFlags); err != nil {
		return Config{}, err
	}
	for _, l := range []layer{fromFile, fromEnvironment, fromFlags} {
		if err := c.apply(l); err != nil {
			return Config{}, err
		}
	}
	if err := c.validate(); err != nil {
		return Config{}, err
	}
	if err := c.loadKey(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Defaults returns a Config in which nobody chose anything.
func Defaults() Config {
	c := Config{sources: map[string]Source{}}
	for _, s := range registry {
		if err := s.set(&c, s.Default); err != nil {
			panic(fmt.Sprintf("default of %s: %v", s.Key, err)) // a defect of the registry; every start and test sees it
		}
	}
	return c
}

// apply stores the values of one layer over those of the layers below. Two keys of one setting may both be given in
// a layer only if they agree.
func (c *Config) apply(l layer) error {
	inLayer := map[string]given{}
	for _, g := range l {
		if err := g.setting.set(c, g.value); err != nil {
			return fmt.Errorf("%s: %s: %w", g.source, g.key, err)
		}
		if other, twice := inLayer[g.setting.Key]; twice && other.value != g.value {
			return fmt.Errorf("%s: %s is %s, but %s is %s: they are one setting",
				g.source, g.key, g.value, other.key, other.value)
		}
		inLayer[g.setting.Key] = g
		c.sources[g.setting.Key] = g.source
	}
	return nil
}

// emptyList is why a list without items is refused: it is a variable of a script that was not set, and a node that was
// told to join must never make a cluster of its own.
const emptyList = "is given and names nothing (leave it out where there is none)"

func refuseEmptyLists(layers ...layer) error {
	for _, l := range layers {
		for _, g := range l {
			if g.setting.Shape == List && noItems(g.value) {
				return fmt.Errorf("%s: %s", g.source, emptyList)
			}
		}
	}
	return nil
}

// noItems reports whether a list's text has no item.
func noItems(v string) bool { return strings.Trim(v, ", \t\n") == "" }

func readFlags(flags map[string]string) layer {
	var l layer
	for _, s := range registry {
		for _, key := range []string{s.Key, s.Also} {
			if value, ok := flags[key]; ok && key != "" {
				name := Setting{Key: key}.Flag()
				l = append(l, given{s, key, value, Source("flag --" + name)})
			}
		}
	}
	return l
}

// clientVariables are FLOTILLA_ names that belong to client commands, and to the choice of the file itself.
var clientVariables = []string{EnvPrefix + "ADDR", EnvPrefix + "CONFIG"}

// readEnvironment returns the settings of FLOTILLA_ variables. An unknown one is a warning and no error, because
// orchestrators inject variables of their own under a service's name (FLOTILLA_PORT, FLOTILLA_SERVICE_HOST).
func readEnvironment(environ []string) (l layer, warnings []string) {
	byName := map[string]given{}
	var names []string
	for _, s := range registry {
		for _, key := range []string{s.Key, s.Also} {
			if key != "" {
				byName[envName(key)] = given{setting: s, key: key}
				names = append(names, envName(key))
			}
		}
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, EnvPrefix) || isClientVariable(name) {
			continue
		}
		g, known := byName[name]
		if !known {
			warnings = append(warnings, fmt.Sprintf("environment variable %s is no setting%s", name, DidYouMean(name, names)))
			continue
		}
		g.value, g.source = value, Source("environment "+name)
		l = append(l, g)
	}
	return l, warnings
}

func isClientVariable(name string) bool {
	for _, v := range clientVariables {
		if name == v {
			return true
		}
	}
	return false
}
