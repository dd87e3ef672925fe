package storage

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"
)

// CommandKind is the first byte of a command.
type CommandKind uint8

// Kinds of commands. Numbers are on disk in every log: never reuse one.
const (
	KindPut    CommandKind = 1
	KindDelete CommandKind = 2
	KindRetain CommandKind = 3
	KindCut    CommandKind = 4
	KindLease  CommandKind = 5
	KindEnd    CommandKind = 6
	KindNoop   CommandKind = 7
	KindFormat CommandKind = 8
)

func (k CommandKind) String() string {
	names := [...]string{KindPut: "put", KindDelete: "delete", KindRetain: "retain", KindCut: "cut", KindLease: "lease",
		KindEnd: "end", KindNoop: "noop", KindFormat: "format"}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Command is one decoded frame; Body aliases the log entry.
type Command struct {
	Kind CommandKind
	Body []byte
}

// Delete removes the points of [From, To) in a device, a collection (Device empty) or a database (both empty).
type Delete struct {
	Series
	From, To int64 // ns; MinTime and NoEnd for all
}

// Retain drops the windows of a database below Before.
type Retain struct {
	Database string
	Before   int64 // a window number
}

// Cut pins a view of the shard at the entry that carries it, on every replica, until TTL has passed or End.
type Cut struct {
	ID      string // UUID
	Purpose string
	TTL     time.Duration // on each replica's monotonic clock, from apply
	HoldLog bool          // the lease also keeps this entry and all after it in the log
}

// Lease keeps the log from From on. A second one with the same ID renews: what it keeps stays.
type Lease struct {
	ID      string
	Purpose string
	TTL     time.Duration
	From    uint64 // index; 0, or above its own: from the entry that carries it
}

const maxLeaseText = 256 // bytes of an id or a purpose

// appendFrame appends a frame whose command is what write appends.
func appendFrame(dst []byte, write func([]byte) []byte) []byte {
	start := len(dst)
	return closeFrame(write(append(dst, 0)), start)
}

// closeFrame puts the length of the command at dst[start+1:] in front of it. One byte was kept for it; a longer length
// moves the command.
func closeFrame(dst []byte, start int) []byte {
	n := len(dst) - start - 1
	if n < 0x80 {
		dst[start] = byte(n)
		return dst
	}
	var prefix [binary.MaxVarintLen64]byte
	w := binary.PutUvarint(prefix[:], uint64(n))
	dst = append(dst, prefix[:w-1]...)
	copy(dst[start+w:], dst[start+1:start+1+n])
	copy(dst[start:], prefix[:w])
	return dst
}

// AppendDelete appends a frame with a delete.
func AppendDelete(dst []byte, d Delete) []byte {
	return appendFrame(dst, func(b []byte) []byte {
		b = append(b, byte(KindDelete))
		b = d.AppendKey(b)
		b = binary.LittleEndian.AppendUint64(b, uint64(d.From))
		return binary.LittleEndian.AppendUint64(b, uint64(d.To))
	})
}

// AppendRetain appends a frame that drops the windows of a database below `before`.
func AppendRetain(dst []byte, database string, before int64) []byte {
	return appendFrame(dst, func(b []byte) []byte {
		b = appendString(append(b, byte(KindRetain)), database)
		return binary.LittleEndian.AppendUint64(b, uint64(before))
	})
}

// AppendCut appends a frame with a cut. Propose it alone, or last in its entry: what the view shows is the state after
// the whole entry.
func AppendCut(dst []byte, c Cut) []byte {
	return appendFrame(dst, func(b []byte) []byte {
		b = appendLease(append(b, byte(KindCut)), c.ID, c.Purpose, c.TTL)
		if c.HoldLog {
			return append(b, 1)
		}
		return append(b, 0)
	})
}

// AppendLease appends a frame that takes or renews a lease on the log.
func AppendLease(dst []byte, l Lease) []byte {
	return appendFrame(dst, func(b []byte) []byte {
		b = appendLease(append(b, byte(KindLease)), l.ID, l.Purpose, l.TTL)
		if l.From > 0 {
			b = binary.LittleEndian.AppendUint64(b, l.From)
		}
		return b
	})
}

func appendLease(b []byte, id, purpose string, ttl time.Duration) []byte {
	b = appendString(appendString(b, id), purpose)
	return binary.LittleEndian.AppendUint64(b, uint64(ttl))
}

// AppendEnd appends a frame that ends a cut's view or a lease.
func AppendEnd(dst []byte, id string) []byte {
	return appendFrame(dst, func(b []byte) []byte { return appendString(append(b, byte(KindEnd)), id) })
}

// AppendNoop appends a frame that changes nothing but the applied index.
func AppendNoop(dst []byte) []byte { return append(dst, 1, byte(KindNoop)) }

// AppendFormatVersion appends a frame that raises the block format version in force. Propose it only when every
// replica's binary knows the version.
func AppendFormatVersion(dst []byte, version uint8) []byte {
	return append(dst, 2, byte(KindFormat), version)
}

// DecodeCommands yields the commands of an entry in order. After an error, which wraps ErrBadCommand, it ends.
func DecodeCommands(data []byte) iter.Seq2[Command, error] {
	return func(yield func(Command, error) bool) {
		for len(data) > 0 {
			var c Command
			var err error
			if c, data, err = cutFrame(data); err != nil {
				yield(Command{}, err)
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

func cutFrame(data []byte) (Command, []byte, error) {
	frame, rest, err := cutString(data)
	if err != nil || len(frame) == 0 {
		return Command{}, nil, fmt.Errorf("%w: frame of %d bytes is cut short", ErrBadCommand, len(data))
	}
	return Command{Kind: CommandKind(frame[0]), Body: frame[1:]}, rest, nil
}

// Delete decodes the body of a delete.
func (c Command) Delete() (d Delete, err error) {
	var b []byte
	if d.Series, b, err = cutKey(c.Body); err != nil || len(b) != 16 {
		return Delete{}, c.bad(err)
	}
	if d.Database == "" || d.Collection == "" && d.Device != "" {
		return Delete{}, c.bad(fmt.Errorf("scope %q/%q/%q", d.Database, d.Collection, d.Device))
	}
	d.From = int64(binary.LittleEndian.Uint64(b))
	d.To = int64(binary.LittleEndian.Uint64(b[8:]))
	return d, nil
}

// Retain decodes the body of a retain.
func (c Command) Retain() (Retain, error) {
	name, b, err := cutString(c.Body)
	if err != nil || len(b) != 8 || len(name) == 0 {
		return Retain{}, c.bad(err)
	}
	return Retain{Database: string(name), Before: int64(binary.LittleEndian.Uint64(b))}, nil
}

// Cut decodes the body of a cut.
func (c Command) Cut() (Cut, error) {
	l, b, err := cutLease(c.Body)
	if err != nil || len(b) != 1 || b[0] > 1 {
		return Cut{}, c.bad(err)
	}
	return Cut{ID: l.ID, Purpose: l.Purpose, TTL: l.TTL, HoldLog: b[0] == 1}, nil
}

// Lease decodes the body of a lease.
func (c Command) Lease() (Lease, error) {
	l, b, err := cutLease(c.Body)
	if err != nil || len(b) != 0 && len(b) != 8 {
		return Lease{}, c.bad(err)
	}
	if len(b) > 0 {
		l.From = binary.LittleEndian.Uint64(b)
	}
	return l, nil
}

// End decodes the id of the cut or lease that ends.
func (c Command) End() (string, error) {
	id, b, err := cutString(c.Body)
	if err != nil || len(b) != 0 || len(id) == 0 || len(id) > maxLeaseText {
		return "", c.bad(err)
	}
	return string(id), nil
}

// FormatVersion decodes the version that a format command puts in force.
func (c Command) FormatVersion() (uint8, error) {
	if len(c.Body) != 1 {
		return 0, c.bad(nil)
	}
	return c.Body[0], nil
}

func cutLease(b []byte) (Lease, []byte, error) {
	id, b, err := cutString(b)
	if err != nil {
		return Lease{}, nil, err
	}
	purpose, b, err := cutString(b)
	if err != nil {
		return Lease{}, nil, err
	}
	if len(b) < 8 || len(id) == 0 || len(id) > maxLeaseText || len(purpose) > maxLeaseText {
		return Lease{}, nil, errShort
	}
	return Lease{ID: string(id), Purpose: string(purpose), TTL: time.Duration(binary.LittleEndian.Uint64(b))}, b[8:], nil
}

func (c Command) bad(err error) error {
	if err == nil {
		err = fmt.Errorf("body of %d bytes", len(c.Body))
	}
	return fmt.Errorf("%w: %s: %w", ErrBadCommand, c.Kind, err)
}
