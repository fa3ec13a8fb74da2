//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file gives BSON values their order. appendKey encodes a value so that comparing the bytes
// compares the values as MongoDB does: by type first, then numbers by value across all numeric
// types, strings by bytes. Filters, sorts and indexes all use this encoding, so they can't
// disagree. Entry points: appendKey, keyLength, checkDocument.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// The first byte of an encoded value: its place in MongoDB's order of types,
// https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/. All are below
// 0x80, so that neither one of them nor its inversion is 0xFF.
const (
	classMinKey    byte = 0x01
	classEmpty     byte = 0x02 // undefined, and the value of an empty array in an index and a sort
	classNull      byte = 0x03 // null, and a missing field
	classNumber    byte = 0x04
	classString    byte = 0x05
	classObject    byte = 0x06
	classArray     byte = 0x07
	classBinary    byte = 0x08
	classObjectID  byte = 0x09
	classBoolean   byte = 0x0A
	classDate      byte = 0x0B
	classTimestamp byte = 0x0C
	classRegex     byte = 0x0D
	classPointer   byte = 0x0E
	classCode      byte = 0x0F
	classScope     byte = 0x10
	classMaxKey    byte = 0x7F
)

// past follows every value: a key that begins with p is below p + past.
const past byte = 0xFF

// first is before every key. SQLite reads an empty one as NULL.
var first = []byte{0}

// A number has one byte for the class, eight for the nearest double and two for the distance of an
// int64 from that: at most 2^9 either way, stored as 2^15 more.
const (
	numberLength = 1 + 8 + 2
	residualZero = 1 << 15
)

// missing is the value of an absent field. It compares like null.
var missing = bsoncore.Value{}

func isMissing(v bsoncore.Value) bool { return v.Type == 0 }

// appendKey appends the encoding of v to dst.
func appendKey(dst []byte, v bsoncore.Value) []byte {
	switch v.Type {
	case 0, bsoncore.TypeNull:
		return append(dst, classNull)
	case bsoncore.TypeUndefined:
		return append(dst, classEmpty)
	case bsoncore.TypeMinKey:
		return append(dst, classMinKey)
	case bsoncore.TypeMaxKey:
		return append(dst, classMaxKey)
	case bsoncore.TypeDouble:
		return appendNumber(dst, v.Double(), 0)
	case bsoncore.TypeInt32:
		return appendNumber(dst, float64(v.Int32()), 0)
	case bsoncore.TypeInt64:
		return appendInt64(dst, v.Int64())
	case bsoncore.TypeString, bsoncore.TypeSymbol, bsoncore.TypeJavaScript:
		class := classString
		if v.Type == bsoncore.TypeJavaScript {
			class = classCode
		}
		return appendText(append(dst, class), v.Data[4:len(v.Data)-1])
	case bsoncore.TypeEmbeddedDocument:
		return appendFields(append(dst, classObject), v.Data, true)
	case bsoncore.TypeArray:
		return appendFields(append(dst, classArray), v.Data, false)
	case bsoncore.TypeBinary:
		subtype, data := v.Binary()
		dst = binary.BigEndian.AppendUint32(append(dst, classBinary), uint32(len(data)))
		return append(append(dst, subtype), data...)
	case bsoncore.TypeObjectID:
		return append(append(dst, classObjectID), v.Data[:12]...)
	case bsoncore.TypeBoolean:
		return append(dst, classBoolean, v.Data[0])
	case bsoncore.TypeDateTime:
		return binary.BigEndian.AppendUint64(append(dst, classDate), uint64(v.DateTime())^(1<<63))
	case bsoncore.TypeTimestamp:
		return binary.BigEndian.AppendUint64(append(dst, classTimestamp), binary.LittleEndian.Uint64(v.Data))
	case bsoncore.TypeRegex:
		pattern, options := v.Regex()
		return appendText(appendText(append(dst, classRegex), []byte(pattern)), []byte(options))
	case bsoncore.TypeDBPointer:
		return appendText(append(dst, classPointer), v.Data)
	default: // code with scope: checkDocument lets nothing else in
		return appendText(append(dst, classScope), v.Data)
	}
}

func appendInt64(dst []byte, n int64) []byte {
	near := float64(n)
	if near == 1<<63 { // n was rounded up beyond the largest int64
		return appendNumber(dst, near, n-math.MaxInt64-1)
	}
	return appendNumber(dst, near, n-int64(near))
}

// appendNumber encodes near + residual. All NaNs are equal and below every other number.
func appendNumber(dst []byte, near float64, residual int64) []byte {
	bits := uint64(0)
	switch {
	case math.IsNaN(near):
	case near == 0: // -0, too
		bits = 1 << 63
	default:
		if bits = math.Float64bits(near); bits>>63 == 1 {
			bits = ^bits
		} else {
			bits |= 1 << 63
		}
	}
	dst = binary.BigEndian.AppendUint64(append(dst, classNumber), bits)
	return binary.BigEndian.AppendUint16(dst, uint16(residual+residualZero))
}

// appendText ends text with two zeros; a zero in it is followed by 0xFF.
func appendText(dst, text []byte) []byte {
	for {
		before, rest, found := bytes.Cut(text, []byte{0})
		dst = append(dst, before...)
		if !found {
			return append(dst, 0, 0)
		}
		dst, text = append(dst, 0, 0xFF), rest
	}
}

// appendFields encodes the elements of a document or an array, each by its value's type,
// its name where it has one, and its value. A zero ends them.
func appendFields(dst, document []byte, named bool) []byte {
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			break // checkDocument has ruled this out
		}
		rest = after
		value := element.Value()
		if named {
			at := len(dst)
			dst = appendKey(dst, value)
			class := dst[at]
			dst = appendText(append(dst[:at], class), element.KeyBytes())
		}
		dst = appendKey(dst, value)
	}
	return append(dst, 0)
}

// keyLength returns the length of the encoded value at the beginning of b. inverted says that every
// byte of it was inverted, as in a descending field of an index.
func keyLength(b []byte, inverted bool) int {
	at := func(i int) byte {
		if i >= len(b) {
			return 0
		}
		if inverted {
			return ^b[i]
		}
		return b[i]
	}
	text := func(i int) int { // the end of the text that begins at i
		for i < len(b) && (at(i) != 0 || at(i+1) != 0) {
			if at(i) == 0 {
				i++
			}
			i++
		}
		return i + 2
	}
	var value func(i int) int
	value = func(i int) int {
		switch at(i) {
		case classNumber:
			return i + numberLength
		case classString, classCode, classPointer, classScope:
			return text(i + 1)
		case classRegex:
			return text(text(i + 1))
		case classObject:
			for i++; i < len(b) && at(i) != 0; {
				i = value(text(i + 1))
			}
			return i + 1
		case classArray:
			for i++; i < len(b) && at(i) != 0; {
				i = value(i)
			}
			return i + 1
		case classBinary:
			size := int(at(i+1))<<24 | int(at(i+2))<<16 | int(at(i+3))<<8 | int(at(i+4))
			return i + 1 + 4 + 1 + size
		case classObjectID:
			return i + 1 + 12
		case classBoolean:
			return i + 1 + 1
		case classDate, classTimestamp:
			return i + 1 + 8
		default: // null and the like are their class alone
			return i + 1
		}
	}
	return min(value(0), len(b))
}

// invert turns a key's order round.
func invert(key []byte) {
	for i := range key {
		key[i] = ^key[i]
	}
}

// maxDepth bounds the nesting of documents, as in MongoDB.
const maxDepth = 180

// checkDocument returns an error unless document is well-formed BSON of comparable types. Every
// document is checked before it is stored or compared.
func checkDocument(document []byte) error { return checkElements(document, 1) }

func checkElements(document []byte, depth int) error {
	if depth > maxDepth {
		return fail(codeOverflow, "a document lies in more than %d others", maxDepth)
	}
	malformed := fail(codeInvalidBSON, "malformed BSON")
	if size, _, ok := bsoncore.ReadLength(document); !ok || int(size) != len(document) || size < 5 || document[size-1] != 0 {
		return malformed
	}
	for rest := document[4:]; len(rest) > 1; {
		element, after, ok := bsoncore.ReadElement(rest)
		if !ok {
			return malformed
		}
		rest = after
		value, err := element.ValueErr()
		if err != nil || value.Validate() != nil {
			return malformed
		}
		switch value.Type {
		case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray:
			if err := checkElements(value.Data, depth+1); err != nil {
				return err
			}
		case bsoncore.TypeDecimal128:
			return fail(codeBadValue, "field %q: the embedded database has no Decimal128; keep amounts as int64", element.Key())
		}
	}
	return nil
}

// typeName names a value's type in an error.
func typeName(v bsoncore.Value) string {
	if isMissing(v) {
		return "missing"
	}
	return fmt.Sprint(v.Type)
}
