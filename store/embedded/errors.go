//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Errors in the form of MongoDB's: a number, a name and a message. Entry points: commandError,
// asCommandError.

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// commandError is an error for the client, with MongoDB's number and name for it.
type commandError struct {
	code   code
	text   string
	detail []byte // more elements of the error, such as keyPattern; nil for none
}

func (e *commandError) Error() string { return e.text }

// code is one of MongoDB's error numbers, from src/mongo/base/error_codes.yml.
type code int32

const (
	codeInternal          code = 1
	codeBadValue          code = 2
	codeFailedToParse     code = 9
	codeTypeMismatch      code = 14
	codeOverflow          code = 15
	codeInvalidLength     code = 16
	codeInvalidBSON       code = 22
	codeIndexNotFound     code = 27
	codePathNotViable     code = 28
	codeConflictingUpdate code = 40
	codeCursorNotFound    code = 43
	codeMaxTimeExpired    code = 50
	codeDollarPrefixed    code = 52
	codeEmptyFieldName    code = 56
	codeCommandNotFound   code = 59
	codeImmutableField    code = 66
	codeCannotCreateIndex code = 67
	codeInvalidOptions    code = 72
	codeInvalidNamespace  code = 73
	codeOptionsConflict   code = 85
	codeKeySpecsConflict  code = 86
	codeShutdown          code = 91
	codeParallelArrays    code = 171
	codeUnknownField      code = 40415
	codeMissingField      code = 40414
	codeUnknownStage      code = 40324
	codeSortMemory        code = 292
	codeTooLarge          code = 10334
	codeDuplicateKey      code = 11000
	codeInterrupted       code = 11601
	codeOutOfDisk         code = 14031
)

var codeNames = map[code]string{
	codeInternal: "InternalError", codeBadValue: "BadValue", codeFailedToParse: "FailedToParse",
	codeTypeMismatch: "TypeMismatch", codeOverflow: "Overflow", codeInvalidLength: "InvalidLength",
	codeInvalidBSON: "InvalidBSON", codeIndexNotFound: "IndexNotFound", codePathNotViable: "PathNotViable",
	codeConflictingUpdate: "ConflictingUpdateOperators", codeCursorNotFound: "CursorNotFound",
	codeMaxTimeExpired: "MaxTimeMSExpired", codeDollarPrefixed: "DollarPrefixedFieldName",
	codeEmptyFieldName: "EmptyFieldName", codeCommandNotFound: "CommandNotFound", codeImmutableField: "ImmutableField",
	codeCannotCreateIndex: "CannotCreateIndex", codeInvalidOptions: "InvalidOptions",
	codeInvalidNamespace: "InvalidNamespace", codeOptionsConflict: "IndexOptionsConflict",
	codeKeySpecsConflict: "IndexKeySpecsConflict", codeShutdown: "InterruptedAtShutdown",
	codeParallelArrays: "CannotIndexParallelArrays", codeSortMemory: "QueryExceededMemoryLimitNoDiskUseAllowed", codeTooLarge: "BSONObjectTooLarge",
	codeDuplicateKey: "DuplicateKey", codeInterrupted: "Interrupted", codeOutOfDisk: "OutOfDiskSpace",
}

func (c code) name() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("Location%d", int32(c))
}

func fail(c code, format string, args ...any) *commandError {
	return &commandError{code: c, text: fmt.Sprintf(format, args...)}
}

// asCommandError returns err in the form for the client. An error that isn't the client's becomes
// InternalError.
func asCommandError(err error) *commandError {
	var known *commandError
	if errors.As(err, &known) {
		return known
	}
	return fail(codeInternal, "%v", err)
}

// reply is the reply to a command that failed.
func (e *commandError) reply() []byte {
	at, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendDoubleElement(b, "ok", 0)
	b = bsoncore.AppendStringElement(b, "errmsg", e.text)
	b = bsoncore.AppendInt32Element(b, "code", int32(e.code))
	b = bsoncore.AppendStringElement(b, "codeName", e.code.name())
	b = append(b, e.detail...)
	return endDocument(b, at)
}

// writeError is the element of writeErrors for the statement at index.
func (e *commandError) writeError(index int) []byte {
	at, b := bsoncore.AppendDocumentStart(nil)
	b = bsoncore.AppendInt32Element(b, "index", int32(index))
	b = bsoncore.AppendInt32Element(b, "code", int32(e.code))
	b = append(b, e.detail...)
	b = bsoncore.AppendStringElement(b, "errmsg", e.text)
	return endDocument(b, at)
}

// endDocument ends the document that begins at at. It can't fail: AppendDocumentEnd only fails for
// an index outside of b.
func endDocument(b []byte, at int32) []byte {
	b, err := bsoncore.AppendDocumentEnd(b, at)
	if err != nil {
		panic(err)
	}
	return b
}
