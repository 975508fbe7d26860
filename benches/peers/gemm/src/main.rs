//! Times the crates `gemm` and `matrixmultiply` on the matrix products that `roofline --json ROWS` has just measured, on as
//! many threads as that; `roofline --shapes SHAPES` says their sizes: `ocelli-peers-gemm ROWS SHAPES`.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The part of a row of `roofline` that this program reads.
#[derive(Deserialize)]
struct Row {
    layer: String,
    pass: String,
    batch: usize,
    threads: usize,
    isa: String,
    gflops: f64,
    peak_share: f64,
}

/// The sizes of a fully connected layer; those of other layers have no `inputs`.
#[derive(Deserialize)]
struct Shape {
    layer: String,
    batch: usize,
    inputs: Option<usize>,
    outputs: Option<usize>,
}

/// `c = a·b` with the sizes `[m, k] · [k, n]`, all row-major.
struct Product {
    sizes: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new([m, k, n]: [usize; 3]) -> Self {
        let numbers = |len: usize| (0..len).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        Self { sizes: [m, k, n], a: numbers(m * k), b: numbers(k * n), c: vec![0.0; m * n] }
    }

    fn gemm(&mut self, threads: usize) {
        let [m, k, n] = self.sizes;
        let parallelism = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
        // SAFETY: the slices have `m * k`, `k * n` and `m * n` elements, which the strides of row-major matrices reach.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                self.c.as_mut_ptr(),
                1,
                n as isize,
                false,
                self.a.as_ptr(),
                1,
                k as isize,
                self.b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    }

    fn matrixmultiply(&mut self) {
        let [m, k, n] = self.sizes;
        // SAFETY: the slices have `m * k`, `k * n` and `m * n` elements, which the strides of row-major matrices reach.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                self.a.as_ptr(),
                k as isize,
                1,
                self.b.as_ptr(),
                n as isize,
                1,
                0.0,
                self.c.as_mut_ptr(),
                n as isize,
                1,
            );
        }
    }

    /// Returns GFLOP/s, from the median of the times that fit into half a second, five at least.
    fn rate(&mut self, mut product: impl FnMut(&mut Self)) -> f64 {
        product(self);
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < 5 || start.elapsed() < Duration::from_millis(500) {
            let start = Instant::now();
            product(self);
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let flops = 2.0 * self.sizes.iter().product::<usize>() as f64;
        flops / times[times.len() / 2].as_secs_f64() / 1e9
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [rows, shapes] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "expected: ROWS SHAPES")?;
    let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(rows)?)?;
    let shapes: Vec<Shape> = serde_json::from_str(&fs::read_to_string(shapes)?)?;
    let threads = rows.first().ok_or("no rows")?.threads;
    // SAFETY: no other thread runs yet. The crate reads the variable when it first multiplies.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };

    println!("shares of the peak on {threads} threads ({})\n", rows[0].isa);
    println!("| product | ours | gemm | matrixmultiply | ours / gemm |\n|---|---|---|---|---|");
    for row in rows.iter().filter(|row| row.pass == "forward") {
        let same = |shape: &&Shape| shape.layer == row.layer && shape.batch == row.batch;
        let Some(Shape { inputs: Some(k), outputs: Some(n), .. }) = shapes.iter().find(same) else { continue };
        let mut product = Product::new([row.batch, *k, *n]);
        let peak = row.gflops / row.peak_share;
        let gemm = product.rate(|product| product.gemm(threads));
        let matrixmultiply = product.rate(Product::matrixmultiply);
        let [ours, gemm, matrixmultiply] = [row.gflops, gemm, matrixmultiply].map(|rate| rate / peak);
        println!("| {} | {ours:.2} | {gemm:.2} | {matrixmultiply:.2} | {:.2} |", row.layer, ours / gemm);
    }
    Ok(())
}
