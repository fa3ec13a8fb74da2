//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file reads the fields of commands. Entry points: eachField, and the readers of values.

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// eachField calls visit with the name and value of each element of document, and returns
// the first error.
func eachField(document []byte, visit func(name string, v bsoncore.Value) error) error {
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return fail(codeInvalidBSON, "malformed BSON")
		}
		if err := visit(element.Key(), element.Value()); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

func wrongType(name string, v bsoncore.Value, want string) error {
	return fail(codeTypeMismatch, "the field '%s' must be %s, but got %s", name, want, typeName(v))
}

func readDocument(name string, v bsoncore.Value, into *[]byte) error {
	d, ok := v.DocumentOK()
	if !ok {
		return wrongType(name, v, "an object")
	}
	*into = d
	return nil
}

func readDocuments(name string, v bsoncore.Value, into *[][]byte) error {
	if v.Type != bsoncore.TypeArray {
		return wrongType(name, v, "an array of objects")
	}
	var err error
	eachElement(v.Data, func(_ int, e bsoncore.Value) bool {
		var d []byte
		err = readDocument(name, e, &d)
		*into = append(*into, d)
		return err != nil
	})
	return err
}

func readString(name string, v bsoncore.Value, into *string) error {
	s, ok := v.StringValueOK()
	if !ok {
		return wrongType(name, v, "a string")
	}
	*into = s
	return nil
}

func readBool(name string, v bsoncore.Value, into *bool) error {
	if _, number := v.AsFloat64OK(); v.Type != bsoncore.TypeBoolean && !number {
		return wrongType(name, v, "a boolean")
	}
	*into = truth(v)
	return nil
}

// readCount reads a whole number that isn't negative.
func readCount(name string, v bsoncore.Value, into *int64) error {
	if err := readInt(name, v, into); err != nil {
		return err
	}
	if *into < 0 {
		return fail(codeBadValue, "the field '%s' must be at least 0, but is %d", name, *into)
	}
	return nil
}

func readInt(name string, v bsoncore.Value, into *int64) error {
	n, ok := v.AsInt64OK()
	if f, double := v.DoubleOK(); double {
		n, ok = int64(f), f == float64(int64(f))
	}
	if !ok {
		return wrongType(name, v, "a whole number")
	}
	*into = n
	return nil
}
