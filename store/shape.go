package store

// The shape of a stored document: the BSON names and types of its fields. The formats of cached
// values and testdata/stored.txt are made from it. Entry point: shapeOf.

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// shapeOf describes the stored form of T: "{_id string, at date}". Go's names of types don't
// matter, nor does the order of the fields in a struct.
func shapeOf[T any]() string { return typeName(reflect.TypeFor[T]()) }

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "date"
	case t == reflect.TypeFor[[]byte]():
		return "binary"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem()) // nil is null or no field: both decode to nil
	case reflect.Slice, reflect.Array:
		return "[" + typeName(t.Elem()) + "]"
	case reflect.Struct:
		fields := fieldsOf(t)
		slices.Sort(fields)
		return "{" + strings.Join(fields, ", ") + "}"
	default:
		return t.Kind().String()
	}
}

// fieldsOf lists the fields of a struct, "name type", those of inlined structs among them.
func fieldsOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("bson"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(rest, "inline"):
			out = append(out, fieldsOf(f.Type)...)
		case name == "":
			out = append(out, strings.ToLower(f.Name)+" "+typeName(f.Type))
		default:
			out = append(out, name+" "+typeName(f.Type))
		}
	}
	return out
}
