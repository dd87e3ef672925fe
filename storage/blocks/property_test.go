package blocks

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestAnyPointsInAreThePointsOut(t *testing.T) {
	var reused Columns // memory of earlier decodes must not show through
	rapid.Check(t, func(t *rapid.T) {
		m := modelOf(genPoints(t, "points"))
		b := mustEncode(t, m.columns())
		if err := Decode(b, &reused); err != nil {
			t.Fatalf("decode: %v", err)
		}
		wantSame(t, &reused, m)
		h, err := Peek(b)
		if err != nil || h.Rows != len(m) || len(m) > 0 && (h.First != reused.Times[0] || h.Last != reused.Times[h.Rows-1]) {
			t.Fatalf("peek: %+v, %v", h, err)
		}
	})
}

// Same points, same bytes: appended at random with other values overwritten on the way, merged from layers, decoded and
// encoded again, cut out of something larger.
func TestSamePointsAreTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := genPoints(t, "points")
		m := modelOf(points)
		want := mustEncode(t, m.columns())
		same := func(how string, c *Columns) {
			t.Helper()
			if got := mustEncode(t, c); !bytes.Equal(got, want) {
				t.Fatalf("%s: %d bytes, want %d\n%x\n%x", how, len(got), len(want), got, want)
			}
		}
		same("appended", built(points))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var final []point // one point a field, shuffled, after junk for the same fields
		for time, row := range m {
			for name, v := range row {
				final = append(final, point{time, []Field{{name, v}}})
			}
		}
		rng.Shuffle(len(final), func(i, j int) { final[i], final[j] = final[j], final[i] })
		var junk []point
		for _, p := range final {
			junk = append(junk, point{p.time, []Field{{p.fields[0].Name, Int(rng.Int64())}}})
		}
		same("shuffled", built(append(junk, final...)))
		half := rng.IntN(len(final) + 1)
		var merged, decoded Columns
		Merge(&merged, built(junk), built(final[:half]), built(final[half:]))
		same("merged", &merged)
		if err := Decode(want, &decoded); err != nil {
			t.Fatalf("decode: %v", err)
		}
		same("decoded", &decoded)
	})
}

// Layer by layer is point by point, through Builder and Merge, and wherever the layers are bracketed.
func TestMergeOrderIsPointByPoint(t *testing.T) {
	var dst, left, right Columns
	rapid.Check(t, func(t *rapid.T) {
		m := model{}
		var layers []*Columns
		for range rapid.IntRange(0, 5).Draw(t, "layers") {
			points := genPoints(t, "layer")
			layers = append(layers, built(points))
			for _, p := range points {
				m.put(p)
			}
		}
		Merge(&dst, layers...)
		wantSame(t, &dst, m)
		cut := rapid.IntRange(0, len(layers)).Draw(t, "cut")
		Merge(&left, layers[:cut]...)
		Merge(&right, layers[cut:]...)
		Merge(&dst, &left, &right)
		wantSame(t, &dst, m)
	})
}

// Deletes, slices and reads between appends leave what the model leaves.
func TestBuilderAndEditsFollowTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		m := model{}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for _, p := range genPoints(t, "points") {
				b.Append(p.time, p.fields)
				m.put(p)
			}
			c := b.Columns()
			wantSame(t, c, m)
			from, to := genTime(t), genTime(t)
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				c.DeleteRange(from, to)
				m.deleteRange(from, to)
			case 1:
				c.Slice(from, to)
				for time := range m {
					if time < from || time >= to {
						delete(m, time)
					}
				}
			case 2:
				lo, hi := c.Rows(min(from, to), max(from, to))
				var part Columns
				c.CopyRows(&part, lo, hi)
				cut := model{}
				for _, time := range c.Times[lo:hi] {
					cut[time] = m[time]
				}
				wantSame(t, &part, cut)
			}
			wantSame(t, c, m)
		}
	})
}

// Any cut into ranges of rows gives back the points, and DecodeFields gives the wanted columns only.
func TestRangesOfRowsAndFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := built(genPoints(t, "points"))
		hi := rapid.IntRange(0, c.Len()).Draw(t, "hi")
		lo := rapid.IntRange(0, hi).Draw(t, "lo")
		b, err := EncodeRows([]byte("head"), c, lo, hi)
		if err != nil || string(b[:4]) != "head" {
			t.Fatalf("encode rows: %v", err)
		}
		var part, got, fields Columns
		c.CopyRows(&part, lo, hi)
		if err := Decode(b[4:], &got); err != nil || !Equal(&got, &part) {
			t.Fatalf("got %+v, want %+v: %v", got, part, err)
		}
		if !bytes.Equal(b[4:], mustEncode(t, &part)) {
			t.Fatalf("rows encoded in place differ from rows copied")
		}
		if err := DecodeFields(b[4:], &fields, func(name string) bool { return name == "a" }); err != nil {
			t.Fatalf("decode fields: %v", err)
		}
		if fields.Len() != part.Len() {
			t.Fatalf("%d rows, want %d", fields.Len(), part.Len())
		}
		m := modelFrom(&part)
		for time, row := range m {
			v, ok := row["a"]
			if delete(m, time); ok {
				m[time] = map[string]Value{"a": v}
			}
		}
		fields.DropEmptyRows()
		wantSame(t, &fields, m)
	})
}
