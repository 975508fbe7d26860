use super::*;
use crate::Key;

#[test]
fn clones_share_until_written() {
    let mut a = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let b = a.clone();
    assert!(a.shares_storage(&b));
    a.data_mut()[0] = 9.0;
    assert!(!a.shares_storage(&b));
    assert_eq!((a[[0, 0]], b[[0, 0]]), (9.0, 1.0));
    let address = a.data().as_ptr();
    a.data_mut()[1] = 8.0;
    assert_eq!(address, a.data().as_ptr(), "an unshared tensor is written where it lies");
}

#[test]
fn rows_share_where_aligned_and_copy_elsewhere() {
    let x = Tensor::from_fn([4, 16], |i| (i[0] * 16 + i[1]) as f32);
    let aligned = x.rows(1..3);
    assert!(aligned.shares_storage(&x));
    assert_eq!((aligned.shape(), aligned.data()[0]), (&[2, 16][..], 16.0));
    let y = Tensor::from_fn([4, 3], |i| (i[0] * 3 + i[1]) as f32);
    let copied = y.rows(1..3);
    assert!(!copied.shares_storage(&y));
    assert_eq!(copied.data(), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    for tensor in [aligned, copied] {
        assert_eq!(tensor.data().as_ptr().align_offset(64), 0);
    }
    assert_eq!(x.rows(4..4).len(), 0);
}

#[test]
fn writing_to_a_slice_of_a_batch_leaves_the_batch() {
    let x = Tensor::full([4, 16], 1.0);
    let mut slice = x.rows(2..4);
    slice.data_mut().fill(5.0);
    assert!(x.data().iter().all(|v| *v == 1.0));
    assert_eq!(slice.shape(), [2, 16]);
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let wrong = Tensor::from_vec([2, 3], vec![0.0; 5]).unwrap_err();
    assert_eq!(wrong.to_string(), "5 values do not fill the shape [2, 3], which needs 6");
    let huge = Tensor::try_zeros([usize::MAX, 3]).unwrap_err();
    assert!(huge.to_string().contains("holds more values than can be addressed"), "{huge}");
    assert!(Tensor::zeros([2, 3]).reshape([4]).is_err());
    assert_eq!(Tensor::zeros([2, 3]).reshape([3, 2]).unwrap().shape(), [3, 2]);
}

#[test]
fn empty_and_scalar_tensors_work() {
    assert_eq!(Tensor::scalar(2.0).len(), 1);
    assert_eq!(Tensor::scalar(2.0)[[]], 2.0);
    let empty = Tensor::zeros([0, 5]);
    assert!(empty.is_empty());
    assert_eq!(empty.rows(0..0).shape(), [0, 5]);
}

#[test]
fn argmax_takes_the_first_of_equals() {
    let x = Tensor::from_vec([2, 3], vec![1.0, 3.0, 3.0, 0.0, -1.0, -2.0]).unwrap();
    assert_eq!(x.argmax_rows(), [1, 0]);
}

#[test]
fn uniform_numbers_depend_on_the_key_alone() {
    let a = Tensor::uniform([100], Key::new(1).with("weights"));
    assert_eq!(a, Tensor::uniform([100], Key::new(1).with("weights")));
    assert_ne!(a, Tensor::uniform([100], Key::new(1).with("biases")));
    assert!(a.data().iter().all(|v| (-1.0..1.0).contains(v)));
}
