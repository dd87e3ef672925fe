package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
)

// csv prints the API's answer for programs: a row an object of a list, or one row of an object that is none, with the
// fields and the values of -o json. Null is an empty cell; what is nested stays JSON.
func (p printer) csv(body []byte) error {
	document, err := readFields(body)
	if err != nil {
		return err
	}
	rows := []fields{document}
	if list, ok := document.list(); ok {
		if rows, err = readList(list); err != nil {
			return err
		}
	}
	w := csv.NewWriter(p.w)
	for i, row := range rows {
		if i == 0 {
			if err := w.Write(row.names); err != nil {
				return err
			}
		}
		cells := make([]string, len(rows[0].names))
		for c, name := range rows[0].names {
			cells[c] = csvCell(row.values[name])
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// fields is a JSON object whose fields keep their order.
type fields struct {
	names  []string
	values map[string]json.RawMessage
}

// list is the array of an object that is a list: one array of objects, and a page token.
func (f fields) list() (json.RawMessage, bool) {
	var array json.RawMessage
	for _, name := range f.names {
		value := f.values[name]
		switch {
		case name == "next_page_token":
		case len(value) > 0 && value[0] == '[' && array == nil:
			array = value
		default:
			return nil, false
		}
	}
	return array, array != nil
}

func readFields(body []byte) (fields, error) {
	f := fields{values: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return f, fmt.Errorf("the answer is no object: -o json shows it")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return f, fmt.Errorf("answer of the node: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return f, fmt.Errorf("answer of the node: %w", err)
		}
		f.names = append(f.names, name.(string)) // an object's names are strings
		f.values[name.(string)] = value
	}
	return f, nil
}

func readList(array json.RawMessage) ([]fields, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(array, &items); err != nil {
		return nil, fmt.Errorf("answer of the node: %w", err)
	}
	rows := make([]fields, 0, len(items))
	for _, item := range items {
		f, err := readFields(item)
		if err != nil {
			return nil, err
		}
		rows = append(rows, f)
	}
	return rows, nil
}

func csvCell(value json.RawMessage) string {
	text := strings.TrimSpace(string(value))
	if text == "null" {
		return ""
	}
	var plain string
	if json.Unmarshal(value, &plain) == nil {
		return plain
	}
	var b bytes.Buffer
	if json.Compact(&b, value) == nil {
		return b.String()
	}
	return text
}
