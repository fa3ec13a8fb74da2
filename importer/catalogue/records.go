package catalogue

// The records of a file: lines, or those of CSV with line ends within quotes, each of a bounded size.
// Entry points: records, fields.

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

// maxRecord bounds a record. The longest description that Shopify takes has half a megabyte.
const maxRecord = 1 << 20

// records calls visit with each record: its offset, its first line, and its text with its line end. A
// record that is too long, or a quote without an end, is an error instead of a text, and the records
// after it still come. A byte order mark of UTF-8 is no part of the first record. An error of visit ends
// it.
func records(file io.Reader, delimited bool, visit func(offset int64, line int, text []byte, err error) error) error {
	in := bufio.NewReaderSize(file, 64<<10)
	var offset int64
	line := 1
	switch mark, _ := in.Peek(3); {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		offset = 3
		_, _ = in.Discard(3)
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return errors.New("the file is in UTF-16: save it as UTF-8")
	}
	for {
		text, size, lines, err := record(in, delimited)
		if err == io.EOF {
			return nil
		}
		var bad wrongRecord
		if err != nil && !errors.As(err, &bad) {
			return fmt.Errorf("read line %d: %w", line, err)
		}
		if err := visit(offset, line, text, err); err != nil {
			return err
		}
		offset += size
		line += lines
	}
}

// wrongRecord says what is wrong with the bytes of one record.
type wrongRecord string

func (w wrongRecord) Error() string { return string(w) }

// record reads the next record: its text, its size in bytes and in lines.
func record(in *bufio.Reader, delimited bool) (text []byte, size int64, lines int, err error) {
	quoted, fresh, long := false, true, false // within quotes; at the first byte of a field
	for {
		b, err := in.ReadByte()
		if err == io.EOF && size > 0 {
			if quoted {
				return nil, size, lines, wrongRecord("a quote has no end: double a quote that is part of a text")
			}
			break
		}
		if err != nil {
			return nil, size, lines, err
		}
		if size++; len(text) < maxRecord {
			text = append(text, b)
		} else {
			long = true
		}
		if b == '\n' {
			lines++
			if !quoted {
				break
			}
		}
		switch {
		case !delimited:
		case b == '"' && quoted:
			next, _ := in.Peek(1)
			switch {
			case len(next) == 0 || bytes.ContainsAny(next, ",\r\n"):
				quoted = false
			case next[0] == '"': // a doubled quote is part of the text
				_, _ = in.ReadByte()
				size++
				text = append(text, '"')
			}
		case b == '"' && fresh:
			quoted = true
		}
		fresh = b == ','
	}
	if long {
		return nil, size, lines, wrongRecord(fmt.Sprintf("the row is longer than %d bytes: shorten its texts, or look for a quote without an end", maxRecord))
	}
	return text, size, lines, nil
}

// fields takes a record of CSV apart.
func fields(text []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	out, err := r.Read()
	if err == io.EOF { // nothing but line ends
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the row isn't CSV: %w", errors.Unwrap(err))
	}
	return out, nil
}
