package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// outputBuffer is how many bytes of an answer are gathered for one write.
const outputBuffer = 64 << 10

// output is the body of a query's answer. Nothing leaves before the first
// buffer is full or the answer is whole.
type output struct {
	w     http.ResponseWriter
	media string
	buf   []byte
	begun bool
}

// room writes the buffer out when it is full.
func (o *output) room() error {
	if len(o.buf) < outputBuffer {
		return nil
	}
	return o.flush()
}

func (o *output) flush() error {
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", o.media)
		o.w.WriteHeader(http.StatusOK)
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *output) text(s string) { o.buf = append(o.buf, s...) }

func (o *output) quoted(s string) { o.buf = appendQuoted(o.buf, s) }

func (o *output) time(ns int64) {
	o.buf = append(o.buf, '"')
	o.buf = api.AppendTime(o.buf, ns)
	o.buf = append(o.buf, '"')
}

// value writes a value so that its type comes back: a number is a float64,
// {"i":14} an int64, {"u":14} a uint64.
func (o *output) value(v blocks.Value) {
	switch v.Kind {
	case blocks.Float64:
		o.buf = appendFloat(o.buf, v.Float64())
	case blocks.Int64:
		o.buf = append(strconv.AppendInt(append(o.buf, `{"i":`...), v.Int64(), 10), '}')
	case blocks.Uint64:
		o.buf = append(strconv.AppendUint(append(o.buf, `{"u":`...), v.Uint64(), 10), '}')
	case blocks.Bool:
		o.buf = strconv.AppendBool(o.buf, v.Bool())
	default:
		o.quoted(v.Str)
	}
}

// appendFloat writes the shortest text that reads back to the same bits, in
// JSON's spelling.
func appendFloat(dst []byte, f float64) []byte {
	if abs := max(f, -f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendQuoted writes a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			b, err := json.Marshal(s)
			if err != nil { // never: a string has a JSON form
				b = []byte(`""`)
			}
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// rowValue finds the value of a field in a row; a field of several kinds has
// several columns of its name.
func rowValue(cols []*blocks.Column, row int) (blocks.Value, bool) {
	for _, col := range cols {
		if v, ok := col.Value(row); ok {
			return v, true
		}
	}
	return blocks.Value{}, false
}
