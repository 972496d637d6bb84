//! What boards of 32 bits show, where a length has 64.

use tej_apps::large_file;

// case 54
#[test]
fn files_around_4_gib_are_counted_to_the_byte() {
    let mut memory = vec![0; 1 << 20];
    for size in [0, 1, 1 << 20, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 33) + 4321] {
        large_file::pass(size, &mut memory).unwrap_or_else(|fault| panic!("{size} bytes: {fault}"));
    }
}
