package plugin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// taken stands in a bundle for what was taken out.
const taken = "TAKEN OUT"

// writeBundle writes what was found, and the objects and events of the namespace,
// into a new file. No Secret is put into it, and the values of those that the
// person may read are looked for in every text and taken out (I8).
func (v *visit) writeBundle(ctx context.Context, answer *doctorReport) (err error) {
	files, err := v.bundleFiles(ctx, answer)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(v.flags.bundle, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("the file %s exists: name another one for --bundle", v.flags.bundle)
	}
	if err != nil {
		return fmt.Errorf("making the bundle: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed := gzip.NewWriter(file)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: "warmpool-support/" + name, Mode: 0o600, Size: int64(len(files[name])), ModTime: v.options.env.Clock.Now()}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
		if _, err := archive.Write(files[name]); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	if err := errors.Join(archive.Close(), packed.Close()); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}

// bundleFiles are the contents of the bundle by name.
func (v *visit) bundleFiles(ctx context.Context, answer *doctorReport) (map[string][]byte, error) {
	cleaner := &cleaner{}
	files := map[string][]byte{}
	if v.seen != nil {
		cleaner.secrets = v.knownSecrets(ctx)
		for name, objects := range map[string]any{
			"vastaccounts.yaml": v.seen.accounts, "warmpools.yaml": v.seen.pools,
			"warminstances.yaml": v.seen.instances, "warmclaims.yaml": v.seen.claims,
		} {
			text, err := cleaner.yaml(objects)
			if err != nil {
				return nil, err
			}
			files[name] = text
		}
	}
	var events corev1.EventList
	if err := v.cluster.Client.List(ctx, &events, client.InNamespace(v.cluster.Namespace)); err != nil {
		files["events.txt"] = []byte("The events could not be read: " + cleaner.text(err.Error()) + "\n")
	} else {
		files["events.txt"] = []byte(cleaner.events(events.Items))
	}
	var shown bytes.Buffer
	if err := answer.write(&shown, false); err != nil {
		return nil, err
	}
	files["doctor.txt"] = []byte(cleaner.lines(shown.String()))
	files["version.txt"] = []byte("kubectl warmpool " + v.options.env.Version + "\n")
	return files, nil
}

// knownSecrets are the values of all Secrets that the objects name, as far as the
// person may read them.
func (v *visit) knownSecrets(ctx context.Context) []string {
	names := map[string]bool{}
	for k := range v.seen.accounts {
		names[v.seen.accounts[k].Spec.CredentialsSecretRef.Name] = true
	}
	for k := range v.seen.instances {
		for _, name := range controllers.SecretsOf(&v.seen.instances[k]) {
			names[name] = true
		}
	}
	for k := range v.seen.pools {
		for _, variable := range v.seen.pools[k].Spec.Template.Env {
			if variable.ValueFrom != nil {
				names[variable.ValueFrom.SecretKeyRef.Name] = true
			}
		}
	}
	var values []string
	for name := range names {
		var secret corev1.Secret
		// What may not be read, or is not there, cannot be looked for by its value.
		if err := v.cluster.Client.Get(ctx, client.ObjectKey{Namespace: v.cluster.Namespace, Name: name}, &secret); err != nil {
			continue
		}
		for _, value := range secret.Data {
			values = append(values, strings.TrimSpace(string(value)))
		}
	}
	return values
}

// cleaner takes secrets out of what goes into a bundle.
type cleaner struct {
	// secrets are values that must not appear.
	secrets []string
}

// text cleans one text.
func (c *cleaner) text(text string) string {
	return vastai.WithoutSecrets(controllers.WithoutSecrets(text, slices.Clone(c.secrets)))
}

// lines cleans a text line by line, so that nothing reaches over the end of a line.
func (c *cleaner) lines(text string) string {
	lines := strings.Split(text, "\n")
	for k := range lines {
		lines[k] = c.text(lines[k])
	}
	return strings.Join(lines, "\n")
}

// yaml writes objects without secrets.
func (c *cleaner) yaml(objects any) ([]byte, error) {
	text, err := json.Marshal(objects)
	if err != nil {
		return nil, fmt.Errorf("encoding objects for the bundle: %w", err)
	}
	var plain any
	if err = json.Unmarshal(text, &plain); err != nil {
		return nil, fmt.Errorf("encoding objects for the bundle: %w", err)
	}
	if text, err = yaml.Marshal(c.value("", plain)); err != nil {
		return nil, fmt.Errorf("encoding objects for the bundle: %w", err)
	}
	return text, nil
}

// value cleans a part of an object. The field is the name it stands under.
func (c *cleaner) value(field string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(value))
		for name, part := range value {
			if keep, replaced := c.special(name, part); replaced {
				if keep != nil {
					kept[name] = keep
				}
				continue
			}
			kept[name] = c.value(name, part)
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for k := range value {
			kept[k] = c.value(field, value[k])
		}
		return kept
	case string:
		return c.string(field, value)
	default:
		return value
	}
}

// special are the fields of which only people know what is in them: they are
// replaced as a whole, or left out (nil).
func (c *cleaner) special(field string, value any) (keep any, replaced bool) {
	switch field {
	case "managedFields":
		return nil, true
	case "annotations":
		return annotationsOf(value), true
	case "env":
		return environmentOf(value), true
	case "onStart", "caBundle":
		return taken, true
	case "sshPublicKeys":
		if keys, isList := value.([]any); isList {
			return fmt.Sprintf("%s: %d keys", taken, len(keys)), true
		}
	default:
	}
	return nil, false
}

// annotationsOf keeps the annotations of ours, and the names of all others.
func annotationsOf(value any) any {
	annotations, isMap := value.(map[string]any)
	if !isMap {
		return taken
	}
	kept := map[string]any{}
	for name, text := range annotations {
		if kept[name] = taken; name == warmpool.AnnotationAbandonRental {
			kept[name] = text
		}
	}
	return kept
}

// environmentOf keeps the names of variables, and where their values come from.
func environmentOf(value any) any {
	variables, isList := value.([]any)
	if !isList {
		return taken
	}
	kept := make([]any, 0, len(variables))
	for _, variable := range variables {
		fields, isMap := variable.(map[string]any)
		if !isMap {
			continue
		}
		clean := map[string]any{"name": fields["name"]}
		if _, hasValue := fields["value"]; hasValue {
			clean["value"] = taken
		}
		if source, hasSource := fields["valueFrom"]; hasSource {
			clean["valueFrom"] = source
		}
		kept = append(kept, clean)
	}
	return kept
}

// string cleans a text by the field that it stands in.
func (c *cleaner) string(field, text string) string {
	switch field {
	case "provisioningScriptURL", "url", "endpoint":
		// The rest of an address may hold a token.
		if parsed, err := url.Parse(text); err == nil && parsed.Host != "" {
			return c.text((&url.URL{Scheme: parsed.Scheme, Host: parsed.Host, Path: parsed.Path}).String())
		}
		return taken
	default:
		return c.lines(text)
	}
}

// events lists the events about our objects, oldest first.
func (c *cleaner) events(events []corev1.Event) string {
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b).Time) })
	list := newTable("TIME", "TYPE", "OBJECT", "REASON", "COUNT", "MESSAGE")
	for k := range events {
		event := &events[k]
		if event.InvolvedObject.APIVersion != warmpool.GroupVersion.String() {
			continue
		}
		at := eventTime(event)
		list.add(moment(&at), event.Type, event.InvolvedObject.Kind+"/"+event.InvolvedObject.Name, event.Reason, fmt.Sprint(max(event.Count, 1)), c.text(event.Message))
	}
	return list.text("")
}

// eventTime is when an event last happened: the old and the new kind of events
// write it into different fields.
func eventTime(event *corev1.Event) metav1.Time {
	switch {
	case event.Series != nil:
		return metav1.Time{Time: event.Series.LastObservedTime.Time}
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp
	default:
		return metav1.Time{Time: event.EventTime.Time}
	}
}
