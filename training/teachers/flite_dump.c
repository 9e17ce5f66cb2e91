/* Speaks "id<TAB>text" lines from stdin with one of flite's clustergen voices and labels what it spoke.
 *
 *   flite_dump VOICE OUT STRETCH < sentences.tsv > rms.lab
 *
 * VOICE is rms, slt or awb; STRETCH multiplies durations. Writes OUT/<id>.raw (16-bit mono PCM at the voice's rate)
 * and OUT/<id>.f0 (float32 Hz, every 5 ms: the vocoder's own). The labels on stdout are described in
 * builtin_voice/labels.py.
 */
#include <flite/cst_track.h>
#include <flite/flite.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cst_voice *register_cmu_us_awb(const char *);
cst_voice *register_cmu_us_rms(const char *);
cst_voice *register_cmu_us_slt(const char *);

static cst_voice *find_voice(const char *name) {
    if (!strcmp(name, "rms")) return register_cmu_us_rms(NULL);
    if (!strcmp(name, "slt")) return register_cmu_us_slt(NULL);
    if (!strcmp(name, "awb")) return register_cmu_us_awb(NULL);
    fprintf(stderr, "flite_dump: no voice %s\n", name);
    exit(2);
}

static FILE *create(const char *folder, const char *id, const char *extension) {
    char path[1024];
    const int length = snprintf(path, sizeof path, "%s/%s.%s", folder, id, extension);
    FILE *file = length < (int)sizeof path ? fopen(path, "wb") : NULL;
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void write_audio(const cst_utterance *utterance, const char *folder, const char *id) {
    const cst_wave *wave = utt_wave((cst_utterance *)utterance);
    FILE *file = create(folder, id, "raw");
    fwrite(wave->samples, sizeof *wave->samples, wave->num_samples, file);
    fclose(file);
}

/* Channel 0 of the vocoder's parameters is F0. */
static void write_f0(const cst_utterance *utterance, const char *folder, const char *id) {
    const cst_track *track = val_track(feat_val(utterance->features, "param_track"));
    FILE *file = create(folder, id, "f0");
    for (int i = 0; i < track->num_frames; i++) fwrite(&track->frames[i][0], sizeof(float), 1, file);
    fclose(file);
}

/* Only the first word of a token has what stands before it, only the last what stands after it. */
static void label_words(const cst_utterance *utterance) {
    int index = 0;
    for (const cst_item *word = relation_head(utt_relation((cst_utterance *)utterance, "Word")); word;
         word = item_next(word), index++) {
        const cst_item *in_token = item_as(word, "Token");
        printf("W\t%d\t%s\t%s\t%s\n", index, item_feat_string(word, "name"),
               item_prev(in_token) ? "" : ffeature_string(word, "R:Token.parent.prepunctuation"),
               item_next(in_token) ? "" : ffeature_string(word, "R:Token.parent.punc"));
    }
}

static int index_of(const cst_item *word) {
    int index = 0;
    for (; item_prev(word); word = item_prev(word)) index++;
    return index;
}

static void label_segments(const cst_utterance *utterance) {
    for (const cst_item *segment = relation_head(utt_relation((cst_utterance *)utterance, "Segment")); segment;
         segment = item_next(segment)) {
        const cst_item *in_syllable = item_as(segment, "SylStructure");
        const char *stress = "0";
        int first = 0, word = -1;
        if (in_syllable && item_parent(in_syllable)) {
            const cst_item *syllable = item_parent(in_syllable);
            stress = item_feat_string(syllable, "stress");
            first = item_prev(in_syllable) == NULL;
            word = index_of(item_as(item_parent(syllable), "Word"));
        }
        printf("S\t%s\t%.4f\t%s\t%d\t%d\n", item_feat_string(segment, "name"), item_feat_float(segment, "end"), stress,
               first, word);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: flite_dump VOICE OUT STRETCH < sentences.tsv > labels\n");
        return 2;
    }
    flite_init();
    cst_voice *voice = find_voice(argv[1]);
    feat_set_float(voice->features, "duration_stretch", (float)atof(argv[3]));
    static char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        char *text = strchr(line, '\t');
        if (!text) continue;
        *text++ = 0;
        cst_utterance *utterance = flite_synth_text(text, voice);
        write_audio(utterance, argv[2], line);
        write_f0(utterance, argv[2], line);
        printf("U\t%s\t%d\n", line, utt_wave(utterance)->sample_rate);
        label_words(utterance);
        label_segments(utterance);
        printf("E\n");
        delete_utterance(utterance);
    }
    return 0;
}
