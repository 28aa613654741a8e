/* SPDX-License-Identifier: MIT
 *
 * test_diag.c: order, carets, the last line, the nearest word.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"

static char *flushed(struct diag *d)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	diag_flush(d, out);
	fclose(out);
	return text;
}

static void expect(struct diag *d, const char *want)
{
	char *is = flushed(d);
	cr_expect_str_eq(is, want, "expected\n%s\ngot\n%s", want, is);
	free(is);
}

Test(diag, design_example)
{
	struct diag *d = diag_create();
	struct place range = { .file = "configs/mnist.ini", .line = 22, .text = "lasso = l1 lambda=-0.1" };
	struct place unit = { .file = "configs/mnist.ini",
		                  .line = 14,
		                  .text = "fc1 = linear unit=300",
		                  .col = 13,
		                  .len = 4,
		                  .section = "network" };
	diag_error(d, &range, "[regularizers] lasso: lambda=-0.1 is outside %d..%s", 0, "1e6");
	diag_error(d, &unit, "unknown key 'unit' of layer 'linear'; did you mean 'units'?");
	cr_expect_eq(diag_errors(d), 2);
	expect(d, "configs/mnist.ini:14: [network] fc1 = linear unit=300\n"
	          "                                             ^~~~ unknown key 'unit' of layer 'linear'; did you mean "
	          "'units'?\n"
	          "configs/mnist.ini:22: [regularizers] lasso: lambda=-0.1 is outside 0..1e6\n"
	          "2 errors; nothing was run\n");
	cr_expect_eq(diag_errors(d), 0);
	expect(d, "");
	diag_destroy(d);
}

Test(diag, same_error_again)
{
	struct diag *d = diag_create();
	struct place at = { .file = "a.ini", .line = 1 };
	diag_error(d, &at, "wrong");
	diag_error(d, &at, "wrong");
	cr_expect_eq(diag_errors(d), 2, "whoever asks whether the second step failed must see it");
	expect(d, "a.ini:1: wrong\n1 error; nothing was run\n");
	cr_expect_eq(diag_errors(d), 0);
	diag_destroy(d);
}

Test(diag, one_error_and_warnings)
{
	struct diag *d = diag_create();
	struct place at = { .file = "a.ini", .line = 1 };
	diag_warn(d, &at, "old");
	cr_expect_eq(diag_errors(d), 0);
	expect(d, "a.ini:1: warning: old\n");
	diag_error(d, NULL, "no memory");
	expect(d, "no memory\n1 error; nothing was run\n");
	diag_destroy(d);
	diag_destroy(NULL);
}

/* Files in the order of first mention, lines within, the command line last, in its order. */
Test(diag, order)
{
	struct diag *d = diag_create();
	struct place at = { .file = "command line", .text = "z.b=1", .col = 2, .len = 1 };
	diag_error(d, &at, "one");
	at = (struct place){ .file = "b.ini", .line = 9 };
	diag_error(d, &at, "two");
	at = (struct place){ .file = "a.ini", .line = 3 };
	diag_error(d, &at, "three");
	at = (struct place){ .file = "b.ini", .line = 2 };
	diag_error(d, &at, "four");
	diag_error(d, &at, "five");
	diag_error(d, &at, "four");
	at = (struct place){ .file = "command line", .text = "a.b=1", .col = 0, .len = 1 };
	diag_error(d, &at, "six");
	expect(d, "b.ini:2: four\nb.ini:2: five\nb.ini:9: two\na.ini:3: three\n"
	          "command line: z.b=1\n                ^ one\ncommand line: a.b=1\n              ^ six\n"
	          "6 errors; nothing was run\n");
	diag_destroy(d);
}

Test(diag, carets_under_tabs_and_letters_of_two_bytes)
{
	struct diag *d = diag_create();
	struct place at = { .file = "a", .line = 1, .text = "\t \tx\t= \"gr\xC3\xB6\xC3\x9F\"\tb", .col = 16, .len = 1 };
	diag_error(d, &at, "here");
	at = (struct place){ .file = "a", .line = 2, .text = "gr\xC3\xB6\xC3\x9F x", .col = 0, .len = 6 };
	diag_error(d, &at, "there");
	expect(d, "a:1: x\t= \"gr\xC3\xB6\xC3\x9F\"\tb\n      \t        \t^ here\n"
	          "a:2: gr\xC3\xB6\xC3\x9F x\n     ^~~~ there\n2 errors; nothing was run\n");
	diag_destroy(d);
}

/* Strings of places may go before the diag. */
Test(diag, owns_its_strings)
{
	struct diag *d = diag_create();
	char file[] = "file", text[] = "text";
	struct place at = { .file = file, .line = 1, .text = text, .col = 0, .len = 2 };
	diag_error(d, &at, "x");
	memset(file, '?', 4);
	memset(text, '?', 4);
	expect(d, "file:1: text\n        ^~ x\n1 error; nothing was run\n");
	diag_destroy(d);
}

/* A file of nothing but errors must not take forever, nor fill the screen. */
Test(diag, thousands)
{
	struct diag *d = diag_create();
	char *text, *end;
	for (int i = 0; i < 100000; i++) {
		struct place at = { .file = "a", .line = i + 1 };
		diag_error(d, &at, "wrong");
	}
	cr_expect_eq(diag_errors(d), 100000);
	text = flushed(d);
	end = strstr(text, "a:500: wrong\n");
	cr_assert(end);
	cr_expect_str_eq(end, "a:500: wrong\n... and 99500 more\n100000 errors; nothing was run\n");
	free(text);
	diag_destroy(d);
}

Test(diag, nearest)
{
	static const char *const words[] = { "units", "bias", "init", "kernel_size", "l1", NULL };
	static const char *const none[] = { NULL };
	cr_expect_str_eq(diag_nearest("unit", words), "units");
	cr_expect_str_eq(diag_nearest("unti", words), "units"); /* a swap and an insertion */
	cr_expect_str_eq(diag_nearest("bais", words), "bias");
	cr_expect_str_eq(diag_nearest("kernelsize", words), "kernel_size");
	cr_expect_str_eq(diag_nearest("l2", words), "l1");
	cr_expect_str_eq(diag_nearest("BIAS", words), "bias");
	cr_expect_null(diag_nearest("dilation", words));
	cr_expect_null(diag_nearest("xyz", words));
	cr_expect_null(diag_nearest("x", none));
	cr_expect_null(diag_nearest("a_word_of_more_than_sixty_four_letters_"
	                            "which_nobody_could_have_meant_to_write",
	                            words));
}

Test(diag, list)
{
	static const char *const words[] = { "one", "two", "three", NULL };
	char out[32];
	diag_list(out, sizeof out, words);
	cr_expect_str_eq(out, "one, two, three");
	diag_list(out, 12, words);
	cr_expect_eq(strlen(out), 11);
	cr_expect_str_eq(out + 7, " ...");
}
