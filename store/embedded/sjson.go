//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads SJSON, the format of FerretDB v1 for documents: JSON, with a schema in the
// document's first field $s that has the types and the order of the other fields.
//
//	{"$s":{"p":{"_id":{"t":"string"},"n":{"t":"long"}},"$k":["_id","n"]},"_id":"a","n":1}
//
// The format is that of FerretDB's package internal/handler/sjson, v1.24.2.
// Entry point: decodeSJSON.

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// sjsonSchema describes a document.
type sjsonSchema struct {
	Fields map[string]*sjsonType `json:"p"`
	Order  []string              `json:"$k"`
}

// sjsonType describes a value.
type sjsonType struct {
	Type     string       `json:"t"`
	Document *sjsonSchema `json:"$s"` // of an object
	Items    []*sjsonType `json:"i"`  // of an array, one for each
	Options  string       `json:"o"`  // of a regular expression
	Subtype  byte         `json:"s"`  // of binary data
}

// decodeSJSON returns the BSON of a stored document.
func decodeSJSON(text []byte) (document []byte, err error) {
	if !json.Valid(text) {
		return nil, errors.New("it isn't JSON")
	}
	fields, err := jsonFields(text)
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 || fields[0].name != "$s" {
		return nil, errors.New("the schema is missing")
	}
	var schema sjsonSchema
	if err := json.Unmarshal(fields[0].value, &schema); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return appendSJSON(nil, fields[1:], &schema, true)
}

// appendSJSON appends a document. FerretDB writes the names of a whole document's own fields
// without JSON's escapes: those with a backslash are recognised by their position.
func appendSJSON(dst []byte, fields []jsonField, schema *sjsonSchema, whole bool) ([]byte, error) {
	if schema == nil || len(fields) != len(schema.Order) {
		return nil, fmt.Errorf("the schema doesn't have the document's %d fields", len(fields))
	}
	at, dst := bsoncore.AppendDocumentStart(dst)
	var err error
	for i, name := range schema.Order {
		if fields[i].name != name && (!whole || !strings.Contains(name, `\`)) {
			return nil, fmt.Errorf("field %q is in the place of the schema's %q", fields[i].name, name)
		}
		if strings.Contains(name, "\x00") {
			return nil, fmt.Errorf("the name %q has a zero in it", name)
		}
		if dst, err = appendSJSONValue(dst, name, fields[i].value, schema.Fields[name]); err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
	}
	return bsoncore.AppendDocumentEnd(dst, at)
}

// appendSJSONValue appends an element.
func appendSJSONValue(dst []byte, name string, value json.RawMessage, is *sjsonType) ([]byte, error) {
	if string(value) == "null" {
		return bsoncore.AppendNullElement(dst, name), nil
	}
	if is == nil {
		return nil, errors.New("it isn't in the schema")
	}
	switch is.Type {
	case "object":
		fields, err := jsonFields(value)
		if err != nil {
			return nil, err
		}
		return appendSJSON(bsoncore.AppendHeader(dst, bsoncore.TypeEmbeddedDocument, name), fields, is.Document, false)
	case "array":
		return appendSJSONArray(dst, name, value, is.Items)
	case "bool":
		var b bool
		err := json.Unmarshal(value, &b)
		return bsoncore.AppendBooleanElement(dst, name, b), err
	case "int", "long", "date", "double", "timestamp":
		return appendSJSONNumber(dst, name, string(value), is.Type)
	}

	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, err
	}
	switch is.Type {
	case "string":
		return bsoncore.AppendStringElement(dst, name, text), nil
	case "regex":
		if strings.Contains(text+is.Options, "\x00") {
			return nil, errors.New("a regular expression has a zero in it")
		}
		return bsoncore.AppendRegexElement(dst, name, text, is.Options), nil
	case "binData":
		data, err := base64.StdEncoding.DecodeString(text)
		// AppendBinaryElement would add a length before data of subtype 2, and the data has one
		// already.
		dst = bsoncore.AppendHeader(dst, bsoncore.TypeBinary, name)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
		return append(append(dst, is.Subtype), data...), err
	case "objectId":
		id, err := hex.DecodeString(text)
		if err != nil || len(id) != 12 {
			return nil, fmt.Errorf("%q isn't an ObjectID", text)
		}
		return bsoncore.AppendObjectIDElement(dst, name, [12]byte(id)), nil
	}
	return nil, fmt.Errorf("the schema has the unknown type %q", is.Type)
}

func appendSJSONArray(dst []byte, name string, value json.RawMessage, items []*sjsonType) ([]byte, error) {
	var values []json.RawMessage
	if err := json.Unmarshal(value, &values); err != nil {
		return nil, err
	}
	if len(values) != len(items) {
		return nil, fmt.Errorf("the schema has %d of the array's %d values", len(items), len(values))
	}
	at, dst := bsoncore.AppendArrayElementStart(dst, name)
	for i, v := range values {
		var err error
		if dst, err = appendSJSONValue(dst, strconv.Itoa(i), v, items[i]); err != nil {
			return nil, fmt.Errorf("value %d: %w", i, err)
		}
	}
	return bsoncore.AppendArrayEnd(dst, at)
}

func appendSJSONNumber(dst []byte, name, text, is string) ([]byte, error) {
	switch is {
	case "double":
		f, err := strconv.ParseFloat(text, 64)
		return bsoncore.AppendDoubleElement(dst, name, f), err
	case "timestamp": // seconds and a counter in one number
		n, err := strconv.ParseUint(text, 10, 64)
		return bsoncore.AppendTimestampElement(dst, name, uint32(n>>32), uint32(n)), err
	case "int":
		n, err := strconv.ParseInt(text, 10, 32)
		return bsoncore.AppendInt32Element(dst, name, int32(n)), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if is == "date" { // milliseconds since 1970
		return bsoncore.AppendDateTimeElement(dst, name, n), err
	}
	return bsoncore.AppendInt64Element(dst, name, n), err
}

// jsonField is a field of a JSON object.
type jsonField struct {
	name  string
	value json.RawMessage
}

// jsonFields returns the fields of a JSON object in their order. text is valid JSON.
func jsonFields(text []byte) ([]jsonField, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.Join(errors.New("it isn't a JSON object"), err)
	}
	var fields []jsonField
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		f := jsonField{name: name.(string)} // JSON has no other names
		if err := decoder.Decode(&f.value); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}
