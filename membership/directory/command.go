package directory

import (
	"fmt"
	"time"
)

// Kind says which command it is. The values are those of the log.
type Kind byte

// The commands.
const (
	KindNudge            Kind = 0 // no effect: carries a commit to the followers
	KindInitCluster      Kind = 1
	KindRegisterNode     Kind = 2
	KindBirth            Kind = 3
	KindAssign           Kind = 4
	KindCreateDatabase   Kind = 5
	KindSetRetention     Kind = 6
	KindDropDatabase     Kind = 7
	KindCreateCollection Kind = 8
	KindDropCollection   Kind = 9
	KindSetSetting       Kind = 10
)

// String says what the command does, for errors.
func (k Kind) String() string {
	words := [...]string{
		KindNudge: "nudge", KindInitCluster: "make the cluster", KindRegisterNode: "register a node", KindBirth: "give birth to groups",
		KindAssign: "assign replicas", KindCreateDatabase: "create a database", KindSetRetention: "set a retention",
		KindDropDatabase: "drop a database", KindCreateCollection: "create a collection", KindDropCollection: "drop a collection",
		KindSetSetting: "change a setting",
	}
	if int(k) >= len(words) {
		return fmt.Sprintf("command of kind %d", byte(k))
	}
	return words[k]
}

// Command is a change of the table: one of the structs of this package. It is
// deterministic: the same table and command give the same table everywhere.
type Command interface {
	Kind() Kind
	// repeatable commands may be submitted again when their outcome is unknown.
	repeatable() bool
	// stamped gives a copy in which a missing time is now, in UTC.
	stamped(now time.Time) Command
	// check finds what is wrong with the command itself, before it is proposed.
	check() error
	write(w *writer)
	apply(d *draft) error
}

// Encode gives the bytes of a command as they stand in the log.
func Encode(c Command) []byte {
	w := &writer{b: make([]byte, 0, 128)}
	w.byte(formatVersion)
	w.byte(byte(c.Kind()))
	c.write(w)
	return w.b
}

// Decode reads what Encode wrote.
func Decode(b []byte) (Command, error) {
	if len(b) > MaxCommandBytes {
		return nil, fmt.Errorf("command of %d bytes: %w: at most %d", len(b), ErrInvalid, MaxCommandBytes)
	}
	r := &reader{b: b}
	if v := r.byte(); r.err == nil && v != formatVersion {
		return nil, fmt.Errorf("command of format %d: %w: this binary reads %d", v, ErrInvalid, formatVersion)
	}
	kind := Kind(r.byte())
	c := readCommand(kind, r)
	if c == nil {
		return nil, fmt.Errorf("command of kind %d: %w: this binary does not know it", kind, ErrInvalid)
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("command of kind %d: %w", kind, err)
	}
	return c, nil
}

func readCommand(kind Kind, r *reader) Command {
	switch kind {
	case KindNudge:
		return nudgeCommand{}
	case KindInitCluster:
		return readInitCluster(r)
	case KindRegisterNode:
		return readRegisterNode(r)
	case KindBirth:
		return readBear(r)
	case KindAssign:
		return readAssign(r)
	case KindCreateDatabase:
		return readCreateDatabase(r)
	case KindSetRetention:
		return readSetRetention(r)
	case KindDropDatabase:
		return readDropDatabase(r)
	case KindCreateCollection:
		return readCreateCollection(r)
	case KindDropCollection:
		return readDropCollection(r)
	case KindSetSetting:
		return readSetSetting(r)
	}
	return nil
}

type nudgeCommand struct{}

func (nudgeCommand) Kind() Kind                  { return KindNudge }
func (nudgeCommand) repeatable() bool            { return false }
func (c nudgeCommand) stamped(time.Time) Command { return c }
func (nudgeCommand) check() error                { return nil }
func (nudgeCommand) write(*writer)               {}
func (nudgeCommand) apply(*draft) error          { return nil }

func stamp(t, now time.Time) time.Time {
	if t.IsZero() {
		t = now
	}
	return t.UTC().Round(0)
}
