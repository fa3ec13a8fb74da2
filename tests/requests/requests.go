// Package requests has the requests that tests of several packages send.
//
// Entry points: Introspection, Upload, Form. It may import none of our packages.
package requests

import (
	"bytes"
	"io"
	"mime/multipart"
)

// Introspection is the query of GraphiQL.
const Introspection = `query IntrospectionQuery {
  __schema {
    description
    queryType { name kind } mutationType { name kind } subscriptionType { name kind }
    types { ...FullType }
    directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description specifiedByURL isOneOf
  fields(includeDeprecated: true) {
    name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
  }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}`

// Upload is the envelope of an upload of one file, and OneFile its map: the file is part "0".
const (
	Upload  = `{"query": "mutation($in: ImageUploadInput!) { imageUpload(input: $in) { image { url alt } } }", "variables": {"in": {"file": null, "alt": "a press"}}}`
	OneFile = `{"0": ["variables.in.file"]}`
)

// Part is the name and the content of one part of a form. It is a file unless its name is
// operations or map.
type Part [2]string

// Form writes parts as browsers do, under a random boundary.
func Form(parts ...Part) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		create := w.CreateFormField
		if p[0] != "operations" && p[0] != "map" {
			create = func(name string) (io.Writer, error) { return w.CreateFormFile(name, "picture.jpg") }
		}
		to, err := create(p[0])
		if err == nil {
			_, err = io.WriteString(to, p[1])
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}
