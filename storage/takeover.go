package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// ErrState: the bytes are not a state as View.State gives it. Ask for it again; if it stays so, the sender runs a version
// that this one does not know.
var ErrState = errors.New("not the state of a shard")

// takeover is what one replica takes over from another beside leaves. format.go draws its bytes.
type takeover struct {
	state
	window time.Duration
}

// State is what the shard holds at the view beside points: applied, configuration and its index, leases, block format,
// window length. A replica that takes over the leaves sets it (Seal, ApplyStage).
func (v *View) State() (b []byte, err error) {
	err = v.read("read state", func(*reader) error {
		s, _, err := getState(v.pin.file.bucket(v.pin.tx, bucketMeta))
		if err != nil {
			return v.pin.file.damage(err)
		}
		t := takeover{s, v.shard.o.Window}
		b = t.encode()
		return nil
	})
	return b, err
}

// ParseState checks what State gave, and says what it stands for.
func ParseState(b []byte) (Durable, error) {
	t, err := parseTakeover(b)
	return t.record(), err
}

func (t *takeover) encode() []byte {
	b := []byte{takeoverFormat, t.blockFormat}
	for _, v := range []uint64{uint64(t.window), t.applied.Index, t.applied.Term, t.configurationIndex} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = appendString(b, string(t.configuration))
	b = appendString(b, string(appendLeases(nil, t.leases)))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

const takeoverHead = 2 + 4*8

func parseTakeover(b []byte) (t takeover, err error) {
	bad := func(what string) (takeover, error) {
		return takeover{}, fmt.Errorf("%w: %s, %d bytes", ErrState, what, len(b))
	}
	n := len(b) - crcBytes
	if n < takeoverHead {
		return bad("too short")
	}
	if binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return bad("checksum differs")
	}
	if b[0] != takeoverFormat {
		return bad(fmt.Sprintf("layout %d, this binary reads %d", b[0], takeoverFormat))
	}
	if t.blockFormat = b[1]; t.blockFormat == 0 || t.blockFormat > blocks.FormatVersion {
		return bad(fmt.Sprintf("block format %d, this binary reads %d", b[1], blocks.FormatVersion))
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(b[2+8*i:]) }
	t.window = time.Duration(number(0))
	t.applied = Position{number(1), number(2)}
	t.configurationIndex = number(3)
	configuration, rest, err := cutString(b[takeoverHead:n])
	if err != nil {
		return bad("configuration ends too early")
	}
	leases, rest, err := cutString(rest)
	if err != nil || len(rest) > 0 {
		return bad("leases end too early, or something follows")
	}
	if t.leases, err = parseLeases(leases); err != nil || len(t.leases) > maxLeases {
		return bad("leases")
	}
	if t.window <= 0 || t.configurationIndex > t.applied.Index || t.configurationIndex == 0 && len(configuration) > 0 {
		return bad("numbers that contradict each other")
	}
	if t.configurationIndex > 0 {
		t.configuration = append([]byte{}, configuration...)
	}
	return t, nil
}

// LeafBytes are the canonical bytes of a leaf (package digest).
func (v *View) LeafBytes(ctx context.Context, leaf digest.Leaf) ([]byte, error) {
	return v.AppendLeaf(ctx, nil, leaf)
}

// AppendLeaf appends the canonical bytes of a leaf to dst. They take their own size of memory, where dst has no room, or twice
// that while they grow.
func (v *View) AppendLeaf(ctx context.Context, dst []byte, leaf digest.Leaf) ([]byte, error) {
	d, _, err := v.stored(leaf)
	if err != nil {
		return nil, err
	}
	w := leafBuffer(dst)
	if cap(dst)-len(dst) < int(d.Bytes) {
		w = append(make([]byte, 0, len(dst)+int(d.Bytes)), dst...)
	}
	h := digest.NewLeafEncoder(&w, leaf, uint32(blocks.FormatVersion))
	if _, err := v.hash(ctx, h, leaf); err != nil {
		return nil, err
	}
	return w, nil
}

type leafBuffer []byte

func (b *leafBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
