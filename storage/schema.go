package storage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// schema is the list of fields that rows of a put share. Rows of equal schemas lie together in a head's run: numbers
// in one array, strings in another, each with as many values a row as the schema has of them.
type schema struct {
	fields  []schemaField // as in the log
	sorted  []schemaField // those that are not dead, by name: the columns of a block
	numbers int           // values a row in the numbers array
	strings int           // values a row in the strings array
	floats  bool          // every field is a float64: the fast path
}

type schemaField struct {
	name string
	kind blocks.Kind
	slot int  // place of the value in its row of the numbers or strings array
	dead bool // a later field of the same name hides this one
}

const (
	maxSchemaFields = 4096 // of a row in the log; the edge allows fewer
	maxSchemas      = 1024 // interned; beyond, the table starts anew (old ones live on in their runs)
)

// schemaTable interns schemas by their bytes in the log, so that a row's schema is one pointer.
type schemaTable struct{ byBytes map[string]*schema }

func (t *schemaTable) intern(raw []byte) (*schema, error) {
	if s := t.byBytes[string(raw)]; s != nil {
		return s, nil
	}
	s, err := parseSchema(raw)
	if err != nil {
		return nil, err
	}
	if t.byBytes == nil || len(t.byBytes) >= maxSchemas {
		t.byBytes = make(map[string]*schema)
	}
	t.byBytes[string(raw)] = s
	return s, nil
}

func parseSchema(raw []byte) (*schema, error) {
	s := &schema{floats: true}
	last := make(map[string]int)
	for len(raw) > 0 {
		kind := blocks.Kind(raw[0])
		name, rest, err := cutString(raw[1:])
		if err != nil || len(name) == 0 || len(name) > MaxFieldName || len(s.fields) == maxSchemaFields {
			return nil, fmt.Errorf("%w: put: field %d of a schema", ErrBadCommand, len(s.fields))
		}
		f := schemaField{name: string(name), kind: kind}
		switch kind {
		case blocks.Float64, blocks.Int64, blocks.Uint64, blocks.Bool:
			f.slot = s.numbers
			s.numbers++
		case blocks.String:
			f.slot = s.strings
			s.strings++
		default:
			return nil, fmt.Errorf("%w: put: field %q of kind %d", ErrBadCommand, name, kind)
		}
		if i, ok := last[f.name]; ok {
			s.fields[i].dead = true
		}
		last[f.name] = len(s.fields)
		s.floats = s.floats && kind == blocks.Float64
		s.fields = append(s.fields, f)
		raw = rest
	}
	if len(s.fields) == 0 {
		return nil, fmt.Errorf("%w: put: schema without fields", ErrBadCommand)
	}
	for _, f := range s.fields {
		if !f.dead {
			s.sorted = append(s.sorted, f)
		}
	}
	slices.SortFunc(s.sorted, func(a, b schemaField) int { return strings.Compare(a.name, b.name) })
	return s, nil
}
