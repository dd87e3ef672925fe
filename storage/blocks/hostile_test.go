package blocks

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// sealed is b with a CRC that holds.
func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, castagnoli))
}

// wantSound decodes what may be anything: either it is refused, or it is a block of well-formed points that survive
// being encoded again.
func wantSound(t failer, b []byte) {
	t.Helper()
	var c, again Columns
	err := Decode(b, &c)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) || c.Len() != 0 || len(c.Cols) != 0 {
			t.Fatalf("refused with %v, %d rows left", err, c.Len())
		}
		return
	}
	if err := c.Check(); err != nil {
		t.Fatalf("decoded columns: %v", err)
	}
	if h, err := Peek(b); err != nil || h.Rows != c.Len() || h.Rows > 0 && (h.First != c.Times[0] || h.Last != c.Times[h.Rows-1]) {
		t.Fatalf("peek says %+v, %v of %d rows", h, err, c.Len())
	}
	if err := Decode(mustEncode(t, &c), &again); err != nil || !Equal(&c, &again) {
		t.Fatalf("encoded again: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(goldenDir, "*.block"))
	for _, path := range files {
		if b, err := os.ReadFile(path); err == nil && len(b) > crcBytes && len(b) < 2000 { // large seeds mutate slowly
			f.Add(b[:len(b)-crcBytes])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		wantSound(t, b)
		wantSound(t, sealed(b)) // past the CRC
	})
}

// FuzzPoints reads its input as points: 1 byte of time step, 1 of field and kind, 8 of value.
func FuzzPoints(f *testing.F) {
	f.Add([]byte("0123456789abcdefghij"))
	f.Add(make([]byte, 400))
	f.Fuzz(func(t *testing.T, b []byte) {
		var build Builder
		m, time := model{}, int64(0)
		for ; len(b) >= 10; b = b[10:] {
			time += int64(int8(b[0])) << (b[1] >> 4 * 4)
			v := Value{Kind: Kind(b[1]%5) + 1, Num: binary.LittleEndian.Uint64(b[2:])}
			if v.Kind == String {
				v = Text(string(b[2 : 2+b[2]%8]))
			} else if v.Kind == Bool {
				v.Num &= 1
			}
			p := point{time, []Field{{string(rune('a' + b[1]>>3%4)), v}}}
			build.Append(p.time, p.fields)
			m.put(p)
		}
		c := build.Columns()
		wantSame(t, c, m)
		for lo, hi := range c.Blocks() {
			block, err := EncodeRows(nil, c, lo, hi)
			if err != nil {
				t.Fatalf("encode: %v", err)
			}
			var out, part Columns
			c.CopyRows(&part, lo, hi)
			if err := Decode(block, &out); err != nil || !Equal(&out, &part) {
				t.Fatalf("decode: %v", err)
			}
		}
	})
}

func TestEveryFlippedBitAndEveryCutIsSeen(t *testing.T) {
	good := mustEncode(t, goldenCases()["sparse"])
	var c Columns
	for i := range good {
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			if err := Decode(bad, &c); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			if _, err := Peek(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("peek, bit %d of byte %d: %v", bit, i, err)
			}
		}
		if err := Decode(good[:i], &c); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestABlockOfTheFutureIsNotCorrupt(t *testing.T) {
	b := mustEncode(t, walk(3, 1))
	b[0] = FormatVersion + 1
	if err := Decode(sealed(b[:len(b)-crcBytes]), new(Columns)); !errors.Is(err, ErrVersion) {
		t.Fatalf("%v, want ErrVersion", err)
	}
}

// Damage behind a CRC that holds: mutations of good blocks never panic, and never give points that break a rule.
func TestMutatedBlocksAreRefusedOrSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for name, c := range goldenCases() {
		good := mustEncode(t, c)
		if name == "full" {
			continue // 4096 rows a time are slow, and show nothing new
		}
		for range rounds / 10 {
			b := append([]byte(nil), good[:len(good)-crcBytes]...)
			for range 1 + rng.IntN(3) {
				at := rng.IntN(min(len(b), 80))
				if rng.IntN(2) == 0 {
					at = rng.IntN(len(b))
				}
				switch rng.IntN(4) {
				case 0:
					b[at] = byte(rng.Uint32())
				case 1:
					b[at] ^= 1 << rng.IntN(8)
				case 2:
					b = append(b[:at], b[min(len(b), at+1+rng.IntN(4)):]...)
				case 3:
					b = append(b[:at], append([]byte{byte(rng.Uint32()), 0xff}, b[at:]...)...)
				}
				if len(b) == 0 {
					b = []byte{0}
				}
			}
			wantSound(t, sealed(b))
		}
	}
}

// A few bytes that claim the most rows and columns must not cost more than the bound of one block.
func TestHostileBlockCannotAllocateMuch(t *testing.T) {
	head := []byte{FormatVersion}
	head = binary.AppendUvarint(head, MaxRows)
	head = binary.LittleEndian.AppendUint64(head, 0)
	head = append(head, 1) // step
	head = binary.AppendUvarint(head, MaxRows-1)
	head = append(head, byte(formPlain))
	head = append(head, 0, 2) // min 1, width 0
	for range MaxRows/groupLen - 1 {
		head = append(head, widthSameMin)
	}
	withColumns := func(claimed uint64, columns int) []byte {
		b := binary.AppendUvarint(append([]byte(nil), head...), claimed)
		for i := range columns {
			p := []byte{0, 0}
			for range MaxRows/groupLen - 1 {
				p = append(p, widthSameMin)
			}
			b = append(b, 2, byte(i>>8), byte(i), byte(Int64), byte(len(p)))
			b = append(b, p...)
		}
		return sealed(b)
	}
	measure := func(b []byte) (uint64, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Decode(b, new(Columns))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc, err
	}
	if _, err := measure(withColumns(1, 1)); err != nil {
		t.Fatalf("the block is meant to be good: %v", err)
	}
	if bytes, err := measure(withColumns(256, 256)); err != nil || bytes > 16*MaxCells && !raceEnabled { // the race detector doubles what grows
		t.Errorf("most columns: %d bytes, %v", bytes, err)
	}
	for _, tc := range []struct {
		claimed uint64
		columns int
	}{{257, 257}, {1 << 40, 1}, {200, 1}} {
		if bytes, err := measure(withColumns(tc.claimed, tc.columns)); !errors.Is(err, ErrCorrupt) || bytes > 1<<20 {
			t.Errorf("%d columns claimed, %d there: %d bytes, %v", tc.claimed, tc.columns, bytes, err)
		}
	}
}
