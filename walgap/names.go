package walgap

import "fmt"

// Kinds, modes and rows are written by name, in journals, bodies and golden files.

// MarshalText is String as bytes.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name.
func (k *Kind) UnmarshalText(text []byte) error {
	i, err := indexOf("kind", kindNames[:], string(text))
	if err == nil {
		*k = Kind(i)
	}
	return err
}

// MarshalText is String as bytes.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a name.
func (m *Mode) UnmarshalText(text []byte) error {
	i, err := indexOf("mode", modeNames[:], string(text))
	if err == nil {
		*m = Mode(i)
	}
	return err
}

// MarshalText is String as bytes.
func (r Row) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a name.
func (r *Row) UnmarshalText(text []byte) error {
	i, err := indexOf("row", rowNames[:], string(text))
	if err == nil {
		*r = Row(i)
	}
	return err
}

func indexOf(what string, names []string, name string) (int, error) {
	for i, known := range names {
		if known == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s %q: unknown", what, name)
}
