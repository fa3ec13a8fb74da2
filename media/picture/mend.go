package picture

// Small damage to files that every browser shows all the same: a JPEG without its end, a PNG with a
// wrong checksum in a part that isn't the picture. Entry points: endJPEG, plainPNG.

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// missing is the number of bytes that may lack at the end of a JPEG's picture. Browsers show zeros in
// their place, some blocks of grey at the bottom; a file cut off in the middle is refused.
const missing = 1 << 10

// endJPEG reads a JPEG, and behind its last byte the end that some cameras leave out.
func endJPEG(file io.Reader) io.Reader {
	return io.MultiReader(file, bytes.NewReader(append(make([]byte, missing), 0xff, 0xd9)))
}

// plainPNG reads a PNG without the chunks that no decoder needs: texts, times, colour profiles. Their
// checksums may be wrong, and libpng skips these with a warning. It adds the last chunk if the file
// ends without one.
type plainPNG struct {
	from   io.Reader
	begun  bool
	buffer bytes.Buffer // is read before the rest
	rest   int64        // of a chunk that is passed on
	ended  bool
}

const (
	pngSignature = 8
	chunkHeader  = 8
	chunkSum     = 4

	// maxTransparency is the longest chunk of transparent colours: one byte for each of 256.
	maxTransparency = 256
)

var endChunk = []byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82")

// Read implements io.Reader.
func (p *plainPNG) Read(into []byte) (int, error) {
	if !p.begun {
		p.begun, p.rest = true, pngSignature
	}
	for p.buffer.Len() == 0 && p.rest == 0 {
		if p.ended {
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	if p.buffer.Len() > 0 {
		return p.buffer.Read(into)
	}
	n, err := p.from.Read(into[:min(int64(len(into)), p.rest)])
	p.rest -= int64(n)
	if err == io.EOF && n == 0 { // within a chunk
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the header of a chunk, and passes the chunk on or skips it.
func (p *plainPNG) next() error {
	header := make([]byte, chunkHeader)
	if n, err := io.ReadFull(p.from, header); err != nil {
		if n > 0 || err != io.EOF {
			return err
		}
		p.ended = true
		p.buffer.Write(endChunk)
		return nil
	}
	length := int64(binary.BigEndian.Uint32(header))
	name := string(header[4:])
	switch {
	case name == "tRNS" && length <= maxTransparency:
		chunk := make([]byte, length+chunkSum)
		if _, err := io.ReadFull(p.from, chunk); err != nil {
			return unexpected(err)
		}
		sum := crc32.Update(crc32.ChecksumIEEE(header[4:]), crc32.IEEETable, chunk[:length])
		if sum == binary.BigEndian.Uint32(chunk[length:]) { // libpng leaves a wrong one out
			p.buffer.Write(header)
			p.buffer.Write(chunk)
		}
	case name[0]&0x20 != 0: // ancillary: PNG specification, 5.4
		if _, err := io.CopyN(io.Discard, p.from, length+chunkSum); err != nil {
			return unexpected(err)
		}
	default:
		p.buffer.Write(header)
		p.rest = length + chunkSum
		p.ended = name == "IEND"
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
