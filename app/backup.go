package app

// The sub-commands backup and restore of the embedded database. Entry points: runBackup,
// runRestore. The package backup has the format.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"stoa/backup"
	"stoa/media/blob"
)

// runBackup writes a backup of the data folder into a file, or to out if the file's name is
// "-".
func runBackup(ctx context.Context, c Config, log *slog.Logger, args []string, out io.Writer) error {
	if len(args) != 1 {
		return usage("use: backup FILE, or backup - for standard output")
	}
	if err := onlyEmbedded("backup", "mongodump", c); err != nil {
		return err
	}
	pictures, err := pictureFolder(c)
	if err != nil {
		return err
	}
	if pictures == "" {
		log.Warn("the pictures aren't backed up: they are in a bucket, STOA_MEDIA")
	}
	var counts backup.Counts
	write := func(w io.Writer) (err error) {
		counts, err = backup.Write(ctx, w, backup.Source{Data: c.Data, Media: pictures, Version: version()})
		return err
	}
	if args[0] == "-" {
		err = write(out)
	} else {
		err = writeFile(args[0], write)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	log.Info("backed up", "collections", counts.Collections, "documents", counts.Documents, "pictures", counts.Pictures)
	return nil
}

// runRestore restores a backup into the data folder.
func runRestore(ctx context.Context, c Config, log *slog.Logger, args []string) error {
	if len(args) != 1 {
		return usage("use: restore FILE, or restore - for standard input")
	}
	if err := onlyEmbedded("restore", "mongorestore", c); err != nil {
		return err
	}
	pictures, err := pictureFolder(c)
	if err != nil {
		return err
	}
	from := os.Stdin
	if args[0] != "-" {
		if from, err = os.Open(args[0]); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		defer from.Close()
	}
	counts, err := backup.Restore(ctx, from, backup.Target{Data: c.Data, Media: pictures})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	log.Info("restored", "data", c.Data, "collections", counts.Collections, "documents", counts.Documents, "pictures", counts.Pictures)
	return nil
}

// onlyEmbedded refuses a command if the database is a MongoDB server's.
func onlyEmbedded(command, instead string, c Config) error {
	if c.MongoDBURI != "" {
		return usage("%s is for the embedded database, and STOA_MONGODB_URI is set: use %s", command, instead)
	}
	return nil
}

// mediaLocation returns the location of the images, in the form that blob.Open takes.
func mediaLocation(c Config) (string, error) {
	if c.Media != "" {
		return c.Media, nil
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return "", fmt.Errorf("STOA_DATA: %w", err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.Join(data, "media")}).String(), nil
}

// pictureFolder returns the folder with the images; "" if they are in a bucket.
func pictureFolder(c Config) (blob.Folder, error) {
	location, err := mediaLocation(c)
	if err != nil {
		return "", err
	}
	blobs, err := blob.Open(location)
	if err != nil {
		return "", fmt.Errorf("STOA_MEDIA: %w", err)
	}
	folder, _ := blobs.(blob.Folder)
	return folder, nil
}

// writeFile creates a file that only its owner can read. The file gets its name, and replaces
// an older one of that name, only when it is completely on the disk.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
