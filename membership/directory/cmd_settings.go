package directory

import "time"

// MaxSettings bounds the settings table.
const MaxSettings = 512

// SetSetting sets a cluster-wide setting; an empty value takes it back to its
// default. Which keys exist and what they may hold is the edge's to check.
type SetSetting struct{ Key, Value string }

// Kind implements Command.
func (SetSetting) Kind() Kind                  { return KindSetSetting }
func (SetSetting) repeatable() bool            { return false }
func (c SetSetting) stamped(time.Time) Command { return c }

func (c SetSetting) check() error {
	if c.Key == "" || len(c.Key) > 128 || len(c.Value) > 1024 {
		return refuse(codeInvalid, "setting %.128q: the key has 1 to 128 bytes, the value at most 1024", c.Key)
	}
	return nil
}

func (c SetSetting) write(w *writer) {
	w.text(c.Key)
	w.text(c.Value)
}

func readSetSetting(r *reader) Command { return SetSetting{Key: r.text(), Value: r.text()} }

func (c SetSetting) apply(d *draft) error {
	old, ok := d.table.Settings[c.Key]
	switch {
	case c.Value == "" && ok:
		d.dropSetting(c.Key)
	case c.Value == "" || ok && old == c.Value:
	case !ok && len(d.table.Settings) >= MaxSettings:
		return refuse(codeInvalid, "more than %d settings", MaxSettings)
	default:
		d.setSetting(c.Key, c.Value)
	}
	return nil
}
