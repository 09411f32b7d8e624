package storage

import (
	"errors"
	"strings"
)

// createSearch makes the word index. It holds no texts, only which words stand
// in which row; place holds what narrows a search. Words come folded and parted
// (words.go), so that the tokenizer has nothing left to decide: to "ascii", all
// that is not ASCII is part of a word.
const createSearch = `CREATE VIRTUAL TABLE search USING fts5(words, place,
	content='', contentless_delete=1, tokenize='ascii', prefix='2');`

// setText brings a row of the word index to what a transaction left.
func (c *conn) setText(row int64, t *text) error {
	if t == nil || !t.fresh {
		if err := c.forget.BindInt64(1, row); err != nil {
			return err
		}
		if err := c.forget.Exec(); err != nil {
			return err
		}
	}
	if t == nil {
		return nil
	}
	if err := errors.Join(c.index.BindInt64(1, row), c.index.BindText(2, t.words), c.index.BindText(3, t.place)); err != nil {
		return err
	}
	return c.index.Exec()
}

// search returns the next rows below a row, greatest first, that hold all
// phrases and lie in all places.
func (v view) search(phrases []phrase, places []string, below int64, limit int) (rows []int64, err error) {
	stmt := v.c.find
	defer stmt.Reset()
	if err := errors.Join(stmt.BindText(1, match(phrases, places)), stmt.BindInt64(2, below), stmt.BindInt(3, limit)); err != nil {
		return nil, err
	}
	for stmt.Step() {
		rows = append(rows, stmt.ColumnInt64(0))
	}
	return rows, stmt.Err()
}

// match writes a query in FTS5's language. Every word is a string of it, and
// words hold letters, numbers and symbols only: nothing that a person types is
// syntax.
func match(phrases []phrase, places []string) string {
	var out strings.Builder
	quote := func(text string) {
		out.WriteByte('"')
		out.WriteString(strings.ReplaceAll(text, `"`, `""`))
		out.WriteByte('"')
	}
	out.WriteString("words : (")
	for i, p := range phrases {
		if i > 0 {
			out.WriteString(" AND ")
		}
		quote(strings.Join(p.words, " "))
		if p.prefix {
			out.WriteString(" *")
		}
	}
	out.WriteByte(')')
	for _, place := range places {
		out.WriteString(" AND place : ")
		quote(place)
	}
	return out.String()
}
